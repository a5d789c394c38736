"""Painters of background, clothes, neck, ears and the bare head: everything that the features are painted on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoogan.data.drawn.canvas import Canvas
from zoogan.data.drawn.identity import Traits
from zoogan.data.drawn.shapes import Plane, cover_line, cover_shape, make_spot, make_wave, measure_ellipse

NEAR_EAR = 0.97  # where on the half width of the face the ear sits


class HeadPoint(NamedTuple):
    """Where points of the image are on the head. All have the shape (n, h, w).

    Attributes:
        across: From -1 to 1 between the ears, over the face, and beyond at the back of the head.
        down: Down the face, in head units.
        radius: 1 on the outline of the head.
        nx: Across the head in the image, 1 on the outline.
        ny: Down the head in the image, 1 on the outline.
        round2: The squared radius without the corners of the jaw.
        bulge: How far the surface comes forward, 1 in the middle and 0 from the outline on.
    """

    across: Plane
    down: Plane
    radius: Plane
    nx: Plane
    ny: Plane
    round2: Plane
    bulge: Plane


def locate_on_head(x: Plane, y: Plane, t: Traits) -> HeadPoint:
    """Locate points of the image on the head, on any device.

    Args:
        x: Place across the head in the image, in head units; 0 between the eyes.
        y: Place down the head in the image, in head units; 0 between the eyes.
        t: Shape and turn of the heads: crown, chin, face_width, taper, square, yaw_* and pitch_*.
    """
    height = torch.where(y < 0.0, t.crown, t.chin)
    ny = y / height
    below = ny.clamp(0.0, 1.0)
    below2 = below * below
    # the jaw juts out towards where the face looks, the back of the skull the other way
    nx = (x - t.yaw_sin * (0.02 + 0.13 * below2)) / (t.face_width * (1.0 - t.taper * below2 * below))
    nx2, ny2 = nx * nx, ny * ny
    round2 = nx2 + ny2
    square2 = (nx2 * nx2).add_(ny2 * ny2).sqrt_()
    radius = (square2 - round2).mul_(t.square * below).add_(round2).sqrt_()
    # on the cylinder of the head: undo the turn
    nz = (1.0 - nx2).clamp_(min=0.0).sqrt_()
    across = nx * t.yaw_cos - nz * t.yaw_sin
    depth = nz * t.yaw_cos + nx * t.yaw_sin
    around = torch.where(across < 0.0, -2.0, 2.0) - across
    across = torch.where(depth < 0.0, around, across)
    bulge = (1.0 - round2).clamp_(min=0.0).sqrt_()
    down = (y + (0.40 * t.pitch_sin) * bulge) / t.pitch_cos
    return HeadPoint(across, down, radius, nx, ny, round2, bulge)


class Head:
    """The head as a turned solid: the point of the head at every pixel. All attributes have the shape (n, h, w).

    Args:
        canvas: The canvas.

    Attributes:
        across: From -1 to 1 between the ears, over the face, and beyond at the back of the head.
        down: Down the face, in head units.
        radius: 1 on the outline of the head.
        inside: How much of each pixel lies inside the head.
        nx: Across the head in the image, 1 on the outline.
        ny: Down the head in the image, 1 on the outline.
        light: How much the surface turns to the light.
        shade: Factor of the skin colour.
    """

    def __init__(self, canvas: Canvas):
        t = canvas.traits
        point = locate_on_head(canvas.x, canvas.y, t)
        nx, ny, bulge = point.nx, point.ny, point.bulge
        self.nx, self.ny, self.radius, self.across, self.down = nx, ny, point.radius, point.across, point.down
        self.inside: Plane = cover_shape((self.radius - 1.0).mul_(t.face_width * 1.05), canvas.pixel)
        light = (nx * t.light_x).add_(ny * t.light_y).mul_(t.light_strength)
        self.light: Plane = light
        self.shade: Plane = (
            (light - 0.16 * point.round2 * point.round2).add_(0.12 * bulge).add_(0.93).clamp_(0.25, 1.12)
        )


def paint_background(canvas: Canvas) -> None:
    """Paint a gradient with stripes, spots, a weave or nothing on it, darker towards the corners."""
    t = canvas.traits
    u, v = canvas.u, canvas.v
    turn = make_wave(t.ground_angle), make_wave(t.ground_angle + 0.25)
    along = u * turn[0] + v * turn[1]
    pattern = along * 0.4 + 0.5
    kind = t.ground_kind
    striped, spotted, woven = (kind < 0.22), (kind >= 0.22) & (kind < 0.55), (kind >= 0.55) & (kind < 0.72)
    pattern += make_wave(along * t.ground_pitch + t.ground_phase).mul_(striped * t.ground_depth)
    pattern += make_wave(u * t.ground_pitch + t.ground_phase) * make_wave(v * t.ground_pitch) * (woven * t.ground_depth)
    for x, y, r in ((t.blob_x, t.blob_y, t.blob_r), (t.blob_x2, t.blob_y2, t.blob_r2)):
        spot = (((u - x) / r) * ((u - x) / r)) + (((v - y) / r) * ((v - y) / r))
        pattern += (1.0 - spot).mul_(4.0).clamp_(0.0, 1.0).mul_(spotted * (t.ground_depth + 0.1))
    pattern.clamp_(0.0, 1.0)
    colour, other = t.ground_colour, t.ground_colour2
    canvas.image = colour + (other - colour) * pattern.unsqueeze(1)
    canvas.image *= (1.03 - 0.10 * (u * u + v * v)).unsqueeze(1)


def paint_neck_and_clothes(canvas: Canvas) -> None:
    """Paint neck, necklace and clothes. The body stays upright below the turned head."""
    whole = canvas.traits
    with canvas.window_below(float((whole.place_v + 0.2).amin())) as w:
        t, u, v = w.traits, w.u, w.v
        pixel = 2.0 / canvas.size
        middle = t.place_u + t.scale * (0.10 * t.yaw_sin - 0.5 * t.roll_sin)
        from_middle = u - middle
        aside = from_middle.abs()
        low = (v - t.shoulder).clamp(min=0.0)
        high = (t.shoulder - 0.12 - v).clamp(min=0.0)
        neck = cover_shape(
            aside - t.neck_width * t.scale - 0.5 * (v - t.shoulder + 0.10).clamp(min=0.0) + 0.06 * high, pixel
        )
        neck *= cover_shape(t.place_v + 0.25 - v, pixel)
        chin = t.place_v + t.scale * (t.chin - 0.10 * t.pitch_sin)
        shadow = (1.0 - (v - chin - 0.02).clamp_(min=0.0) * 3.2).clamp_(0.0, 1.0) * 0.34
        shade = (0.94 - shadow) + from_middle * (t.light_x * t.light_strength * 1.6) - aside * aside * 1.6
        w.paint(neck, t.skin_colour, shade.clamp_(0.3, 1.1), 17)
        worn = t.necklace * (t.shoulder - 0.01)
        drop = v - (worn - 0.9 * (t.neck_width * t.neck_width - from_middle * from_middle * 0.2).clamp(min=0.0))
        chain = cover_line(drop + 0.02 - 1.2 * t.necklace * (0.05 - aside * aside), 0.040, pixel) * neck * t.necklace
        w.paint(chain, t.metal_colour, None, 16)
        # shoulders fall away to both sides; the neckline is round, pointed or high
        top = t.shoulder + t.slope * aside * (aside * 0.75 + 0.25) - 0.02
        pointed = (t.collar_kind > 0.6).float()
        hole = t.collar - aside * (1.15 * pointed) - (aside * aside * 2.6) * (1.0 - pointed)
        turtle = (t.collar_kind < 0.12).float() * 0.16
        neckline = torch.maximum(top, t.shoulder + hole * (1.0 - 6.0 * turtle) - turtle)
        cloth = cover_shape(neckline - v, pixel)
        fold = make_wave(
            u * t.cloth_pitch * (t.cloth_kind < 0.3) + v * t.cloth_pitch * (t.cloth_kind < 0.55) + from_middle * 0.4
        )
        strong = torch.where(t.cloth_kind < 0.55, 0.5, 0.08)
        shade = (
            1.0
            - 0.25 * low
            + from_middle * (t.light_x * t.light_strength)
            - cover_shape(v - neckline - 0.05, pixel) * 0.12
        )
        w.paint(cloth, t.cloth_colour, shade.clamp_(0.3, 1.1), 18)
        w.paint(cloth * (fold * 3.0).clamp_(0.0, 1.0) * strong, t.cloth_colour2, shade)


def _paint_ear(canvas: Canvas, side: float, near: bool) -> None:
    """Paint the ear on one side of the image (-1: left) of the faces whose ear there is, or is not, the nearer one.

    The nearer ear is painted over the head, the other behind it.
    """
    t = canvas.traits
    away = -side * t.yaw_sin  # positive: this ear is turned towards us
    shown = (away > 0.02) if near else (away <= 0.02)
    faces = shown.view(-1).nonzero().view(-1)
    if len(faces) == 0:
        return
    t = t.select(faces)
    x, y = locate_ear(t, side)
    size = t.ear_size
    wide = size * (0.52 + 0.5 * (-side * t.yaw_sin).clamp(-0.45, 0.6))
    with canvas.window_around(x, y, wide + 0.02, size * 1.25, faces) as w:
        lx, ly = w.x - x, w.y - y
        shape = cover_shape(measure_ellipse(lx - side * 0.12 * -ly, ly, wide, size), w.pixel)
        shade = 0.90 + side * t.light_x * t.light_strength * 0.8 + lx * 0.0
        w.paint(shape, t.skin_colour, shade, 8 if side > 0 else 9)
        hollow = make_spot((lx / (wide * 0.75)) * (lx / (wide * 0.75)) + (ly / (size * 0.72)) * (ly / (size * 0.72)))
        w.paint(hollow * shape * 0.55, t.skin_shadow)


def locate_ear(t: Traits, side: float) -> tuple[Tensor, Tensor]:
    """Locate the middle of the ear on one side of the image (-1: left), in head units (m, 1, 1)."""
    x = side * (t.face_width * NEAR_EAR * t.yaw_cos + t.ear_out) - 0.05 * t.yaw_sin
    return x, 0.07 + 0.02 * t.pitch_sin + 0.0 * x


def paint_far_ears(canvas: Canvas) -> None:
    """Paint the ears that are turned away, before the head."""
    for side in (-1.0, 1.0):
        _paint_ear(canvas, side, near=False)


def paint_near_ears(canvas: Canvas) -> None:
    """Paint the ears that are turned to the viewer, after the head."""
    for side in (-1.0, 1.0):
        _paint_ear(canvas, side, near=True)


def paint_skin(canvas: Canvas, head: Head) -> None:
    """Paint the bare head, shaded by the light, with blush, freckles, a mole and the lines of age."""
    t = canvas.traits
    with canvas.window_around(torch.zeros_like(t.scale), (t.chin - t.crown) / 2, t.face_width * 1.12 + 0.1,
                       (t.chin + t.crown) / 2 + 0.02) as w:  # fmt: skip
        shade, inside = w.crop(head.shade), w.crop(head.inside)
        # shadows are redder than light: between two colours instead of down to black
        colour = t.skin_shadow + (t.skin_colour - t.skin_shadow) * (shade * 1.25 - 0.25).unsqueeze(1)
        colour -= w.image
        w.image += colour.mul_(inside.unsqueeze(1))
        w.label(inside, 1)
        across, down = w.crop(head.across), w.crop(head.down)
        cheeks = across.abs() - 0.56
        cheek = make_spot((cheeks * cheeks).mul_(9.0).add_((down - 0.23) * (down - 0.23) * 30.0))
        w.paint(cheek.mul_(inside * t.blush), t.blush_colour)
        brow_bone = across.abs() - 0.44
        socket = make_spot((brow_bone * brow_bone).mul_(10.0).add_(down * down * 55.0))
        w.paint(socket.mul_(inside * (0.10 + 0.16 * t.age)), t.skin_shadow)
    chosen = (t.freckles > 0.90).view(-1).nonzero().view(-1)
    if len(chosen):
        f = t.select(chosen)
        with canvas.window_around(f.scale * 0, f.scale * 0 + 0.18, f.face_width + 0.1, 0.32, chosen) as w:
            across, down = w.crop(head.across), w.crop(head.down)
            dots = make_wave(across * 5.3 + make_wave(down * 6.1) * 0.35) * make_wave(
                down * 11.7 + make_wave(across * 3.7) * 0.3
            )
            where = make_spot((down - 0.17) * (down - 0.17) * 40.0) * make_spot(across * across)
            w.paint((dots - 0.35).clamp_(0.0, 0.5) * where * w.crop(head.inside) * 0.6, f.skin_shadow)
    chosen = (t.mole > 0.80).view(-1).nonzero().view(-1)
    if len(chosen):
        f = t.select(chosen)
        with canvas.window_around(f.scale * 0, f.scale * 0 + 0.3, f.face_width + 0.1, 0.4, chosen) as w:
            a, d = (w.crop(head.across) - f.mole_x) * f.face_width, w.crop(head.down) - f.mole_y
            w.paint(
                cover_shape(measure_ellipse(a, d, 0.017, 0.017), w.pixel) * w.crop(head.inside) * 0.8,
                f.skin_shadow * 0.6,
            )
    chosen = (t.age > 0.62).view(-1).nonzero().view(-1)
    if len(chosen):
        f = t.select(chosen)
        strength = (f.age - 0.62) * 1.3
        with canvas.window_around(f.scale * 0, f.scale * 0 + 0.05, f.face_width + 0.1, 0.55, chosen) as w:
            across, down = w.crop(head.across), w.crop(head.down)
            ridge = 0.02 * across * across
            lines = cover_line(down + 0.26 + ridge, 0.014, w.pixel) + cover_line(down + 0.20 + ridge, 0.014, w.pixel)
            lines *= make_spot(across * across * 2.2)
            crease = across.abs() * f.face_width - 0.13 - 0.28 * (down - 0.22)
            folds = cover_line(crease, 0.016, w.pixel) * make_spot((down - 0.32) * (down - 0.32) * 70.0)
            w.paint((lines + folds).mul_(w.crop(head.inside) * strength).clamp_(0.0, 1.0), f.skin_shadow)
