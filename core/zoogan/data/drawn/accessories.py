"""Painters of mask, hat, earrings and glasses, which turn with the head. `faces`: rows of the faces to paint."""

from __future__ import annotations

import torch
from torch import Tensor

from zoogan.data.drawn.canvas import Canvas, Window
from zoogan.data.drawn.features import project_point
from zoogan.data.drawn.head import Head, locate_ear
from zoogan.data.drawn.shapes import (
    Plane,
    cover_line,
    cover_shape,
    make_spot,
    make_wave,
    measure_ellipse,
    measure_rectangle,
)


def paint_mask(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint a surgical or cloth mask from the bridge of the nose to below the chin, its loops around the ears."""
    t = canvas.traits.select(faces)
    with canvas.window_around(
        0.04 * t.yaw_sin, t.chin / 2 + 0.02, t.face_width * 1.12 + 0.08, t.chin / 2 + 0.08, faces
    ) as w:
        across, down = w.crop(head.across), w.crop(head.down)
        x2 = across * across
        upper = down - t.mask_top - 0.16 * x2 * (2.0 - x2) + 0.04
        outline = (w.crop(head.radius) - 1.035) * t.face_width
        sides = (across.abs() - 0.90) * t.face_width
        shape = cover_shape(torch.maximum(torch.maximum(-upper, outline), sides), w.pixel)
        surgical = (t.mask_kind < 0.55).float()
        pleats = make_wave(down * 7.0 - 0.4 * x2) * (0.07 * surgical)
        seam = make_spot(across * across * 500.0) * (0.10 * (1.0 - surgical))
        nose = make_spot(across * across * 9.0 + (down - 0.3) * (down - 0.3) * 14.0) * 0.10
        shade = (w.crop(head.light) * 1.2 + 0.90 - 0.16 * x2 + pleats + nose - seam).clamp_(0.3, 1.15)
        shade -= cover_line(upper - 0.03, 0.014, w.pixel) * 0.16
        # the loops run back from the mask's corners
        for slope, from_ in ((-0.55, 0.24), (0.25, 0.42)):
            loop = cover_line(down - from_ - slope * (across.abs() - 0.82) * t.face_width, 0.020, w.pixel)
            loop = (
                loop
                * cover_shape(-sides, w.pixel)
                * cover_shape((across.abs() - 1.02) * t.face_width, w.pixel)
                * w.crop(head.inside)
            )
            w.paint(loop * 0.85, t.mask_colour, 0.85 + 0.0 * loop)
        w.paint(shape, t.mask_colour, shade, 18)


def paint_hat(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint a cap with a visor, a beanie with a fold, or a brimmed hat. Hair is tucked in."""
    t = canvas.traits.select(faces)
    cap, beanie = (t.hat_kind < 0.38), (t.hat_kind >= 0.38) & (t.hat_kind < 0.72)
    brim = t.hat_kind >= 0.72
    with canvas.window_around(
        0.0 * t.crown,
        -0.45 + 0.0 * t.crown,
        torch.where(brim, t.hat_wide + 0.05, t.face_width * 1.25 + 0.22),
        0.63 + 0.0 * t.crown,
        faces,
    ) as w:
        across, down = w.crop(head.across), w.crop(head.down)
        light, ny = w.crop(head.light), w.crop(head.ny)
        line = -t.hat_line + 0.03 * across * across * (1 - 2.2 * beanie.float()) + torch.where(beanie, 0.06, 0.0)
        line += 0.5 * (across.abs() - 0.9).clamp(0.0, 0.4)
        up = (-ny - 0.3).clamp(min=0.0)
        puff = torch.where(beanie, 1.10, torch.where(brim, 1.06, 1.07)) + t.hat_tall * 0.45 * up
        # a brimmed hat has a flat crown, the others are round
        dome = (w.crop(head.radius) - puff) * t.face_width
        flat = torch.maximum(
            w.x.abs() - t.face_width * (1.02 - 0.12 * up), -w.y - t.crown - t.hat_tall * 0.8 - 0.04 * w.x
        )
        shape = cover_shape(torch.maximum(torch.where(brim, flat, dome), down - line), w.pixel)
        knit = make_wave(across * t.hat_pitch * 1.6) * torch.where(beanie, 0.10, 0.02)
        panel = -make_spot((across * 14.0) * (across * 14.0)) * torch.where(cap, 0.12, 0.0)
        shade = (light * 1.3 + 0.96 + knit + panel - 0.20 * across * across).clamp_(0.3, 1.25)
        w.paint(shape, t.hat_colour, shade, 14)
        ribbon = cover_line(down - line + torch.where(beanie, 0.075, 0.05), torch.where(beanie, 0.15, 0.10), w.pixel)
        fold = ribbon * cover_shape(torch.where(brim, flat, dome - 0.015), w.pixel) * torch.where(cap, 0.0, 1.0)
        w.paint(
            fold,
            torch.where((t.hat_grey < 0.45).unsqueeze(1), t.hat_colour2, t.hat_colour * 0.72),
            shade * 0.95,
            14,
        )
        tuft = cover_shape(measure_ellipse(w.x, w.y + t.crown * 1.09 + t.hat_tall * 0.25, 0.11, 0.10), w.pixel)
        w.paint(tuft * (beanie & (t.hat_tall > 0.16)), t.hat_colour2, shade, 14)
        front, level, _ = project_point(t, 0.0 * t.crown, -t.hat_line, 0.10)
        visor = measure_ellipse(
            w.x - front - 0.10 * t.yaw_sin,
            w.y - level - 0.01 + 0.25 * (w.x - front) * (w.x - front),
            t.face_width * 0.80,
            0.085,
        )
        w.paint(cover_shape(visor, w.pixel) * cap, t.hat_colour * 0.70, 1.0 + light, 14)
        rim = measure_ellipse(
            w.x - 0.04 * t.yaw_sin,
            w.y - level - 0.02 - 0.10 * w.x * w.x,
            t.hat_wide,
            0.075 - 0.05 * t.pitch_sin,
        )
        w.paint(cover_shape(rim, w.pixel) * brim, t.hat_colour * 0.86, 1.0 + light, 14)


def paint_earrings(canvas: Canvas, faces: Tensor) -> None:
    """Paint studs, drops or hoops below both lobes; on a turned head the far one is behind the cheek."""
    for side in (-1.0, 1.0):
        towards = -side * canvas.traits.yaw_sin.index_select(0, faces).view(-1)
        chosen = faces[towards > -0.22]
        if len(chosen) == 0:
            continue
        t = canvas.traits.select(chosen)
        x, y = locate_ear(t, side)
        y = y + t.ear_size * 1.0
        size = t.earring_size
        with canvas.window_around(x, y + size, size * 1.4, size * 2.6, chosen) as w:
            hoop, drop = (t.earring_kind < 0.36), (t.earring_kind >= 0.36) & (t.earring_kind < 0.72)
            lx = w.x - x
            ring = cover_line(measure_ellipse(lx, w.y - y - size * 1.05, size * 1.05, size * 1.25), 0.042, w.pixel)
            hang = cover_shape(measure_ellipse(lx, w.y - y - size * 1.3, size * 0.62, size * 1.5), w.pixel)
            stud = cover_shape(measure_ellipse(lx, w.y - y, size * 0.82, size * 0.82), w.pixel)
            shape = torch.where(hoop, ring, torch.where(drop, hang, stud))
            gleam = 0.92 + 0.35 * make_spot((lx + 0.3 * size) * (lx + 0.3 * size) / (size * size) * 3.0)
            w.paint(shape, t.metal_colour, gleam, 15)


def _measure_lens(w: Window, x: Tensor, y: Tensor, narrow: Tensor, side: float) -> tuple[Plane, Plane, Plane]:
    """Measure the signed distance to a lens of the face's kind of frame, and its axes (lx towards the temple)."""
    t = w.traits
    lx, ly = (w.x - x) / narrow * side, w.y - y
    kind = t.frame_kind
    round_, aviator, cat = (kind < 0.30), (kind >= 0.58) & (kind < 0.78), (kind >= 0.78)
    high = t.frame_height
    wide = torch.where(round_, (t.frame_width + high) * 0.5, t.frame_width)
    high = torch.where(round_, wide, torch.where(aviator, high * 1.12, high * 0.92))
    # an aviator hangs down outwards, a cat's eye is drawn up at the temple
    bent_y = ly - aviator * (0.18 * (ly + high) * lx / wide) + cat * (0.22 * lx + 0.9 * lx.clamp(min=0.0) * lx)
    bent_x = lx * (1.0 + aviator * (0.9 * bent_y)) * (1.0 + cat * 0.8 * bent_y)
    corner = torch.where(
        round_, wide * 0.999, torch.where(aviator, high * 0.85, torch.where(cat, high * 0.62, high * 0.34))
    )
    corner = torch.minimum(corner, torch.minimum(wide, high) * 0.999)
    return measure_rectangle(bent_x, bent_y, wide, high, corner), lx, ly


def paint_glasses(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint lenses that mostly show the eyes, with frames, a bridge, and temples that run back to the ears."""
    t = canvas.traits.select(faces)
    middle, level, _ = project_point(t, 0.0 * t.chin, 0.0 * t.chin + 0.012, 0.07)
    with canvas.window_around(0.5 * middle, level, t.face_width * 1.08 + 0.06 + 0.5 * middle.abs(), 0.29, faces) as w:
        frame = torch.zeros_like(w.x)
        glass = torch.zeros_like(w.x)
        glint = torch.zeros_like(w.x)
        inner = []
        for side in (-1.0, 1.0):
            spread = t.frame_width + 0.5 * t.frame_thick + 0.022
            x, y, narrow = project_point(t, side * torch.maximum(t.eye_gap, spread), 0.0 * t.chin + 0.012, 0.07)
            distance, lx, ly = _measure_lens(w, x, y, narrow, side)
            frame = torch.maximum(frame, cover_line(distance, t.frame_thick, w.pixel))
            glass = torch.maximum(glass, cover_shape(distance, w.pixel))
            streak = ((lx * side + ly * 0.8) + 0.05).abs() - 0.018
            glint = torch.maximum(glint, cover_shape(streak, w.pixel) * cover_shape(distance + 0.045, w.pixel))
            inner.append(x - side * t.frame_width * narrow)
            # the temple starts at the outer rim and ends above the ear
            outer = x + side * (t.frame_width - 0.01) * narrow
            back_x, back_y = locate_ear(t, side)
            run = ((w.x - outer) / (back_x - outer + side * 1e-4)).clamp(0.0, 1.0)
            arm = cover_line(w.y - (y - 0.04) - (back_y - 0.05 - y + 0.04) * run, t.frame_thick * 0.72, w.pixel)
            shown = ((back_x - outer) * side > 0.01) & ((w.x - outer) * side > 0) & ((w.x - back_x) * side < 0)
            bare = cover_shape((w.crop(head.across).abs() - t.opening + 0.04) * t.face_width, w.pixel)
            frame = torch.maximum(frame, arm * shown * torch.maximum(bare, t.ears_free))
        arch = w.y - level + 0.030 - 2.2 * (w.x - middle) * (w.x - middle)
        bridge = cover_line(arch, t.frame_thick * 0.85, w.pixel) * ((w.x > inner[0] - 0.01) & (w.x < inner[1] + 0.01))
        frame = torch.maximum(frame, bridge)
        w.paint(glass * t.lens_tint, t.lens_colour)
        w.paint(glint * t.glint, t.light_colour)
        w.paint(frame, t.frame_colour, 1.0 + w.crop(head.light) * 0.8)
        w.label(torch.maximum(glass, frame), 3)
