"""Painters of eyes, brows, nose and mouth, each where the turned head carries it."""

from __future__ import annotations

import torch
from torch import Tensor

from zoogan.data.drawn.canvas import Canvas, Window
from zoogan.data.drawn.head import Head
from zoogan.data.drawn.identity import Traits
from zoogan.data.drawn.shapes import cover_between, cover_line, cover_shape, make_spot, make_wave, measure_ellipse


def project_point(t: Traits, across: Tensor, down: Tensor, lift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Project a point of the face to the image.

    Args:
        t: The traits of the faces.
        across: Place on the unturned face, in head units (m, 1, 1).
        down: Place on the unturned face.
        lift: Height above the surface.

    Returns:
        x and y in head units, and the factor by which widths are foreshortened, (m, 1, 1) each.
    """
    a = t.face_width
    side = (across / a).clamp(-0.95, 0.95)
    out = (1.0 - side * side).sqrt()
    x = across * t.yaw_cos + (out * a + lift) * t.yaw_sin
    bulge = (1.0 - side * side - (down / t.chin) * (down / t.chin)).clamp(min=0.0).sqrt()
    y = down * t.pitch_cos - (0.40 * bulge + lift) * t.pitch_sin
    return x, y, (t.yaw_cos - side / out * t.yaw_sin).clamp(0.42, 1.25)


def paint_eyes(canvas: Canvas) -> None:
    """Paint both eyes."""
    for side in (-1.0, 1.0):
        t = canvas.traits
        x, y, narrow = project_point(t, side * t.eye_gap, 0.0 * t.eye_gap)
        with canvas.window_around(x, y, t.eye_width * 1.55 * narrow + 0.02, t.eye_height * 2.9 + 0.04) as w:
            _paint_eye(w, x, y, narrow, side)


def _paint_eye(w: Window, x: Tensor, y: Tensor, narrow: Tensor, side: float) -> None:
    """Paint the eye at (x, y) on one side of the image (-1: left), with its lids, lashes and make-up."""
    t = w.traits
    dx = (w.x - x) / narrow
    lx = dx / t.eye_width
    ly = w.y - y + dx * (side * t.eye_tilt)
    arch = 1.0 - lx * lx
    top = ly + t.eye_height * arch  # 0 on the upper lid, positive below it
    bottom = ly - 0.72 * t.eye_height * arch
    steep = 0.80  # the lids run aslant, so distances across them are shorter
    eye = cover_between(ly, ly - top, ly - bottom, w.pixel)
    made_up = make_spot(
        (lx * lx) * 0.5 + ((ly + t.eye_height) / (1.6 * t.eye_height)) * ((ly + t.eye_height) / (1.6 * t.eye_height))
    )
    w.paint(made_up * t.shadow, t.shadow_colour)
    under = make_wave((lx * 0.25).clamp(-0.25, 0.25) + 0.25).clamp_(min=0.0)
    w.paint(
        cover_line(ly - 1.5 * t.eye_height * arch.clamp(min=0.0) - 0.004, 0.014, w.pixel)
        * under
        * (0.10 + 0.25 * t.age),
        t.skin_shadow,
    )
    ball = 1.0 - 0.20 * (lx * lx) - make_spot((top / t.eye_height) * (top / t.eye_height)) * 0.28
    w.paint(eye, t.white_colour, ball, 4 if side > 0 else 5)
    ix, iy = dx - t.gaze_x - 0.02 * t.yaw_sin, ly - t.gaze_y + 0.003
    iris = cover_shape(measure_ellipse(ix, iy, t.iris, t.iris), w.pixel) * eye
    depth = 0.72 + 6.0 * iy + 0.0 * ix
    w.paint(iris, t.iris_colour, depth.clamp_(0.45, 1.25))
    w.paint(cover_shape(measure_ellipse(ix, iy, t.iris * 0.48, t.iris * 0.48), w.pixel) * eye, t.dark_colour * 0.5)
    glint = cover_shape(measure_ellipse(ix - 0.4 * t.iris * t.light_x, iy + 0.018, 0.012, 0.012), w.pixel)
    w.paint(glint * eye * 0.9, t.light_colour)
    within = cover_shape((lx.abs() - 1.06) * t.eye_width, w.pixel)
    lash = cover_line(top * steep, t.lash + 0.010 * (side * lx), w.pixel) * within
    w.paint(lash * 0.92, t.lash_colour)
    w.label(torch.maximum(eye, lash), 4 if side > 0 else 5)
    crease = cover_line(ly + (t.eye_height + 0.026) * (1.0 - 0.75 * lx * lx), 0.014, w.pixel) * within
    w.paint(crease * 0.40, t.skin_shadow)
    w.paint(cover_line(bottom * steep, 0.010, w.pixel) * within * 0.45, t.skin_shadow)


def paint_brows(canvas: Canvas) -> None:
    """Paint both brows."""
    for side in (-1.0, 1.0):
        t = canvas.traits
        x, y, narrow = project_point(t, side * (t.eye_gap + 0.008), -t.brow_up)
        with canvas.window_around(
            x, y, t.brow_length * 1.15 * narrow + 0.02, t.brow_arch * 1.3 + t.brow_thick + 0.09
        ) as w:
            lx = (w.x - x) / narrow / t.brow_length * side  # 1 at the temple
            line = w.y - y + t.brow_arch * (1.0 - (lx - 0.25) * (lx - 0.25)) - 0.6 * t.brow_arch
            line += t.brow_tilt * lx
            thick = t.brow_thick * (1.0 - 0.55 * (lx * 0.5 + 0.5).clamp(0.0, 1.0))
            ends = cover_shape((lx.abs() - 1.0) * t.brow_length * narrow, w.pixel)
            brow = cover_line(line, thick, w.pixel) * ends
            w.paint(brow * (0.90 + 0.08 * make_wave(lx * 3.0 + line * 9.0)), t.brow_colour, None, 6 if side > 0 else 7)


def paint_nose(canvas: Canvas, head: Head) -> None:
    """Paint the nose: its light and shade, nostrils and wings."""
    t = canvas.traits
    zero = 0.0 * t.nose_length
    root_x, root_y, _ = project_point(t, zero, zero - 0.02)
    tip_x, _tip_y, narrow = project_point(t, zero, t.nose_length - t.nose_up, 0.10)
    base_x, base_y, _ = project_point(t, zero, t.nose_length, 0.03)
    half = t.nose_width * (0.75 + 0.25 * narrow)
    with canvas.window_around((root_x + base_x) / 2, (root_y + base_y) / 2, half + (tip_x - root_x).abs() + 0.06,
                       (base_y - root_y) / 2 + 0.11) as w:  # fmt: skip
        at = ((w.y - root_y) / (base_y - root_y)).clamp(0.0, 1.0)
        curve = at * at
        ridge = w.x - root_x - (tip_x - root_x) * at
        width = t.nose_bridge + (half - t.nose_bridge) * curve * at
        middle = w.x - root_x - (0.6 * (tip_x - root_x) + 0.4 * (base_x - root_x)) * at
        shape = cover_shape(
            torch.maximum(
                middle.abs() - width,
                torch.maximum(w.y - base_y - 0.035 + 3.0 * middle * middle, root_y - w.y),
            ),
            w.pixel,
        )
        w.label(shape * w.crop(head.inside), 2)
        # one flank lies in the shade, the ridge and the tip catch the light
        dark = torch.where(t.light_x + 1.6 * t.yaw_sin > 0, 1.0, -1.0)
        flank = ridge * -dark - 0.75 * width
        shadow = make_spot((flank / (0.7 * width + 0.01)) * (flank / (0.7 * width + 0.01))) * at
        above = cover_shape(w.y - base_y - 0.02, w.pixel)
        shadow *= above
        w.paint(shadow * (0.22 + 0.7 * t.light_strength), t.skin_shadow)
        shine = make_spot(
            (ridge / (0.45 * width + 0.012)) * (ridge / (0.45 * width + 0.012)) + (at - 0.62) * (at - 0.62) * 4.5
        )
        shine *= above
        w.paint(shine * (0.12 + 0.5 * t.light_strength), t.light_colour)
        bx, by = w.x - base_x, w.y - base_y
        below = by - 0.02 - 0.25 * (bx * bx) / half
        w.paint(make_spot(below * below * 700.0) * make_spot((bx / half) * (bx / half) * 0.8) * 0.42, t.skin_shadow)
        nostril = bx.abs() - half * 0.48
        w.paint(
            cover_shape(measure_ellipse(nostril, by - 0.006, half * 0.24, 0.014 + 0.25 * t.nose_up), w.pixel) * 0.80,
            t.skin_shadow * 0.55,
        )
        wing = bx.abs() - half * 0.98
        w.paint(cover_line(wing - 2.0 * by * by, 0.014, w.pixel) * make_spot(by * by * 500.0) * 0.45, t.skin_shadow)


def paint_mouth(canvas: Canvas) -> None:
    """Paint the lips, and teeth and darkness between them if they are open.

    A smile is wider, lifts the corners and folds the cheeks.
    """
    t = canvas.traits
    x, y, narrow = project_point(t, 0.0 * t.chin, t.nose_length + t.mouth_drop, 0.02)
    wide = t.mouth_width * (1.0 + 0.24 * t.Smiling)
    with canvas.window_around(x, y, wide * narrow + 0.10, 0.23) as w:
        t = w.traits
        dx = (w.x - x) / narrow
        lx = dx / wide
        lx2 = lx * lx
        lift = torch.where(t.Smiling > 0, t.smile, t.mouth_curve)
        ly = w.y - y + lift * (lx2 - 0.35)  # 0 along the line between closed lips
        body = (1.0 - lx2).clamp(min=0.0)
        gap = t.gap * t.Mouth_Slightly_Open * (1.0 + 0.25 * t.Smiling)
        thin = 1.0 - 0.22 * t.Smiling
        bow = 1.0 - 0.30 * make_spot(lx2 * 14.0)
        upper_top = -(t.lip_upper * thin) * (body * bow + 0.0) - 0.40 * gap * body
        upper_bottom = -0.40 * gap * body
        lower_top = 0.60 * gap * body
        lower_bottom = lower_top + t.lip_lower * thin * body * (0.7 + 0.3 * body)
        cheek = make_spot(((lx.abs() - 1.18) * 4.5) * ((lx.abs() - 1.18) * 4.5) + (ly + 0.01) * (ly + 0.01) * 160.0)
        w.paint(cheek * 0.40 * t.Smiling, t.skin_shadow)
        below = ly - lower_bottom - 0.024
        w.paint(make_spot(below * below * 1600.0) * make_spot(lx2 * 2.2) * 0.30, t.skin_shadow)
        upper = cover_between(ly, upper_top, upper_bottom, w.pixel)
        lower = cover_between(ly, lower_top, lower_bottom, w.pixel)
        inner = cover_between(ly, upper_bottom, lower_top, w.pixel)
        teeth = cover_shape(ly - upper_bottom - 0.62 * gap * body, w.pixel) * inner * (0.55 + 0.40 * t.Smiling)
        w.paint(inner, t.dark_colour, None, 10)
        w.paint(teeth, t.white_colour, 0.96 - 0.25 * lx2)
        w.paint(upper, t.lip_colour, 0.84 + 0.0 * lx, 11)
        shine = make_spot(
            ((ly - 0.45 * (lower_top + lower_bottom)) * 40.0) * ((ly - 0.45 * (lower_top + lower_bottom)) * 40.0)
            + lx2 * 4.0
        )
        w.paint(lower, t.lip_colour, 0.99 + 0.22 * shine, 12)
        seam = cover_line(ly - upper_bottom, 0.015, w.pixel) * cover_shape((lx.abs() - 1.03) * wide, w.pixel)
        w.paint(seam * (0.75 - 0.35 * (gap > 0)), t.dark_colour)
