"""Painters of hair and beards. `faces`: rows to paint, since a hat hides the hair and a mask the beard."""

from __future__ import annotations

import torch
from torch import Tensor

from zoogan.data.drawn.canvas import Canvas, Window
from zoogan.data.drawn.head import Head
from zoogan.data.drawn.shapes import (
    Plane,
    cover_line,
    cover_shape,
    make_spot,
    make_wave,
    measure_ellipse,
    measure_hair_fall,
)


def _shade_strands(w: Window, x: Plane, y: Plane, light: Plane) -> Plane:
    """Compute the shade of hair: fine strands, and a sheen where the head turns to the light."""
    t = w.traits
    fan = (y + t.crown + 0.12).clamp(0.05, 0.62) + 0.30  # strands spread from the crown and then hang down
    bend = x * t.streak_pitch / fan + make_wave(y * 1.3 + t.curl_phase) * (0.15 + 0.6 * t.curl)
    shade = make_wave(bend)
    shade = (shade * (shade * 0.5 + 0.75)).mul_(t.streaks)  # narrow light strands, wide dark ones
    ring = y + 0.42 - 0.10 * x * x
    return shade.add_(make_spot(ring * ring * 60.0) * t.sheen).add_(light * 1.1).add_(0.96).clamp_(0.35, 1.7)


def paint_hair_behind(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint the hair that falls behind the head and over the shoulders, and a bun."""
    t = canvas.traits
    falls = ((t.hair_end > 0.25) | (t.bun > 0)).view(-1)
    faces = faces[falls[faces]]
    if len(faces) == 0:
        return
    t = t.select(faces)
    reach = t.face_width + t.hair_side + t.hair_flare.abs() * 1.4 + 0.12
    bun = t.bun
    top = t.crown + t.hair_top * 0.5 + 2.2 * t.bun_r * bun
    with canvas.window_around(
        -0.12 * t.yaw_sin, (t.hair_end - top) / 2, reach, (t.hair_end + top) / 2 + 0.06, faces
    ) as w:
        middle = -0.12 * t.yaw_sin
        x, y = w.x - middle, w.y
        ripple = make_wave(y * t.curl_pitch + t.curl_phase) * (t.curl * 0.05)
        half = t.face_width + 0.55 * t.hair_side + t.hair_flare * (y + 0.15).clamp(min=0.0)
        centre = (t.hair_end - 0.2) / 2
        fall = measure_hair_fall(x, y - centre, half + ripple, (t.hair_end + 0.2) / 2, 0.14)
        shape = cover_shape(fall, w.pixel) * (t.hair_end > 0.25)
        bx, by = w.x - t.bun_x * t.face_width, w.y + t.crown + t.hair_top * 0.4 + t.bun_r * 0.45
        shape = torch.maximum(shape, cover_shape(measure_ellipse(bx, by, t.bun_r, t.bun_r), w.pixel) * bun)
        # the neck and the collar stay free between the locks
        gap = cover_shape(x.abs() - t.neck_width * 1.02 - 0.04 * make_wave(y * 0.8 + t.curl_phase), w.pixel) * (y > 0.2)
        shape *= 1.0 - gap * (t.hair_end > 0.25)
        shade = _shade_strands(w, x, y, x * t.light_x * t.light_strength) * (0.80 - 0.12 * y.clamp(0.0, 1.0))
        w.paint(shape, t.hair_colour, shade, 13)


def _measure_outline(w: Window, head: Head) -> Plane:
    """Measure the signed distance to the outline of the hair around the head."""
    t = w.traits
    nx, ny = w.crop(head.nx), w.crop(head.ny)
    up = (-ny).clamp(0.0, 1.0)
    bumps = make_wave(w.x * t.curl_pitch + t.curl_phase) * make_wave(w.y * t.curl_pitch) * (t.curl * 0.09)
    volume = t.hair_side + (t.hair_top - t.hair_side) * up * up + t.part * 0.05 * nx * up
    return (w.crop(head.radius) - 1.02 - volume - bumps) * t.face_width


def paint_hair_around(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint the hair on the head, which leaves the face free below the hairline."""
    t = canvas.traits.select(faces)
    reach = t.face_width * (1.16 + torch.maximum(t.hair_side, t.hair_top))
    top = t.crown * (1.18 + t.hair_top)
    end = t.hair_end.clamp(max=0.58) + torch.where(t.hair_end < 0.25, 0.42, 0.15)
    with canvas.window_around(0.0 * reach, (end - top) / 2, reach + 0.13, (end + top) / 2 + 0.04, faces) as w:
        across, down = w.crop(head.across), w.crop(head.down)
        rise = (down - 0.20).clamp(max=0.0) / (t.hairline + 0.20 - 0.09 * across * t.part)
        beside = across / (t.opening - 0.06 * (down - 0.1).clamp(min=0.0))
        free = ((beside * beside) + rise * rise).sqrt_().sub_(1.0).mul_(t.face_width)
        free += make_wave(across * 7.0 + t.curl_phase) * 0.008
        back = (across.abs() - 1.0).clamp_(0.0, 0.3)
        ends = down - t.hair_end.clamp(max=0.58) - back * 0.9 * (t.hair_end < 0.25)
        ends += make_wave(across * 4.0 + t.curl_phase) * 0.02
        hair = cover_shape(_measure_outline(w, head), w.pixel)
        hair *= 1.0 - cover_shape(free, w.pixel)
        hair *= cover_shape(ends, w.pixel)
        shade = _shade_strands(w, across * 0.8, w.y, w.crop(head.light))
        shade -= cover_line(free - 0.03, 0.06, w.pixel) * 0.10
        w.paint(hair, t.hair_colour, shade, 13)
    fringed = (t.Bangs > 0).view(-1).nonzero().view(-1)
    if len(fringed):
        paint_bangs(canvas, head, faces[fringed])


def paint_bangs(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint a fringe down to the brows: straight, toothed or swept to a side."""
    t = canvas.traits.select(faces)
    high = t.crown * 1.05
    with canvas.window_around(0.0 * high, 0.1 - high / 2, t.face_width * 1.1 + 0.08, high / 2 + 0.13, faces) as w:
        across, down = w.crop(head.across), w.crop(head.down)
        teeth = make_wave(across * t.fringe_pitch + t.curl_phase) * t.fringe_teeth
        lower = down + t.fringe - 0.05 * across * across + t.fringe_slant * across + teeth
        hair = (
            cover_shape(lower, w.pixel)
            * cover_shape((across.abs() - 0.97) * t.face_width, w.pixel)
            * w.crop(head.inside)
        )
        upper = cover_shape(-(down + t.crown * 0.80), w.pixel)  # above it the hair of the head is already there
        shade = _shade_strands(w, across * 0.8, w.y, w.crop(head.light)) - make_spot((lower * lower) * 300.0) * 0.12
        w.paint(hair * upper, t.hair_colour, shade, 13)


def paint_beard(canvas: Canvas, head: Head, faces: Tensor) -> None:
    """Paint a full beard, a goatee, a moustache and chin beard, or a moustache; stubble on faces without a beard."""
    t = canvas.traits.select(faces)
    with canvas.window_around(
        0.0 * t.chin, t.chin / 2 + 0.05, t.face_width * 1.1 + 0.08, t.chin / 2 + 0.20, faces
    ) as w:
        across, down = w.crop(head.across), w.crop(head.down)
        x = across * t.face_width
        mouth = t.nose_length + t.mouth_drop
        bare = 1.0 - t.No_Beard
        kind = torch.where(bare > 0, t.beard_kind, 0.0)  # stubble is everywhere
        full, goatee = (kind < 0.45), (kind >= 0.45) & (kind < 0.68)
        both = (kind >= 0.68) & (kind < 0.86)
        cheek = down - (mouth + 0.00 + 0.03 * t.beard_line) + 0.46 * (across * across) * (0.6 + 0.4 * across * across)
        jaw = cover_shape(torch.maximum(-cheek, (across.abs() - 1.0) * t.face_width), w.pixel)
        # clear around the lips, and the lower lip's soul patch joins them to the chin
        lips = cover_shape(measure_ellipse(x, down - mouth - 0.01, t.mouth_width * 1.10, 0.075), w.pixel)
        under = mouth - 0.5 * (mouth - t.nose_length) - 0.015
        moustache = cover_shape(
            measure_ellipse(x, down - under - 0.35 * x * x / t.mouth_width, t.mouth_width * 1.12, 0.048), w.pixel
        )
        around_chin = measure_ellipse(x, down - mouth - 0.10, t.mouth_width * 0.95, 0.20)
        chin = cover_shape(around_chin, w.pixel)
        small = cover_shape(measure_ellipse(x, down - t.chin + 0.02, t.mouth_width * 0.62, 0.13), w.pixel)
        shape = torch.where(
            full,
            torch.maximum(jaw * (1.0 - lips), moustache),
            torch.where(goatee, chin * (1.0 - lips), torch.where(both, small, 0.0) * (1.0 - lips)),
        )
        shape = torch.maximum(shape, torch.where(goatee & (t.beard_line < 0.35), 0.0, moustache))
        grain = 1.0 + make_wave(x * 14.0 + make_wave(down * 7.0) * 0.4) * 0.07 + w.crop(head.light)
        strength = t.beard_full * bare + t.stubble * t.No_Beard
        edge = cover_shape((w.crop(head.radius) - 1.0) * t.face_width * 1.05 - t.beard_long * bare * full, w.pixel)
        w.paint(shape * edge * strength, t.beard_colour, grain)
        w.label(shape * edge * bare, 1)
