"""Banks of templates: drawn by the renderer of drawn faces, or read from a person's PNGs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.data import DrawnFaces, Traits, draw_layer, make_frontal
from zoogan.plugins import join_problems, suggest_name
from zoogan_sd_gan.compositor_config import TemplateBox
from zoogan_sd_gan.placement import STANDARD_WEARER, WEARER

MEAN_SCALE = 1.125  # of the heads of drawn faces: a head unit is so many halves of the picture
FIRST_DRAWN = 4_000_000  # no face of the drawn data has so high a number
AT_ONCE = 16  # templates that are drawn together
Bank = tuple[UInt8[Tensor, "k 4 s s"], Float[Tensor, "k w"]]
"""Templates, RGBA with the colour multiplied by alpha, and the numbers `WEARER` of the head that wears each."""


def choose_template_size(image_size: int) -> int:
    """Choose the size of templates for images of a size: four times as large, twice for large images."""
    return image_size * (4 if image_size <= 64 else 3 if image_size <= 128 else 2)


def measure_edge(image_size: int) -> float:
    """Return the size of a pixel of an image on its head, in head units: how soft the edges of templates are."""
    return 2.0 / (image_size * MEAN_SCALE)


def read_wearer(traits: Traits) -> Float[Tensor, "n w"]:
    """Read the numbers `WEARER` of drawn faces."""
    lens = torch.maximum(traits.eye_gap, traits.frame_width + 0.5 * traits.frame_thick + 0.022)
    rim = lens + traits.frame_width + 0.5 * traits.frame_thick
    columns = {"face_width": traits.face_width, "chin": traits.chin, "taper": traits.taper, "lens": lens, "rim": rim}
    return torch.stack([columns[name].view(-1) for name in WEARER], 1)


def draw_frontal_templates(attribute: str, traits: Traits, image_size: int) -> Bank:
    """Draw what faces wear, frontally.

    Args:
        attribute: One of `zoogan.data.LAYER_ATTRIBUTES`.
        traits: The traits of the faces.
        image_size: Size of the images on which the templates are laid, in pixels.
    """
    frontal, size, edge = make_frontal(traits), choose_template_size(image_size), measure_edge(image_size)
    layers = [
        to_bytes(draw_layer(attribute, frontal.select(rows), size, edge_width=edge))
        for rows in torch.arange(len(traits)).split(AT_ONCE)
    ]
    return torch.cat(layers), read_wearer(traits)


def draw_bank(attribute: str, count: int, seed: int, image_size: int) -> Bank:
    """Draw the first templates of an attribute; more of them have the same beginning."""
    faces = DrawnFaces(image_size, seed=seed)
    traits = faces.draw_traits(range(FIRST_DRAWN, FIRST_DRAWN + count), **{attribute: 1})
    return draw_frontal_templates(attribute, traits, image_size)


def to_bytes(layer: Float[Tensor, "n 4 s s"]) -> UInt8[Tensor, "n 4 s s"]:
    """Round a layer to bytes; what is brighter than white becomes white."""
    alpha = layer[:, 3:]
    layer = torch.cat([torch.minimum(layer[:, :3], alpha), alpha], 1)
    return (layer * 255.0 + 0.5).clamp(0.0, 255.0).to(torch.uint8)


# ---- a person's PNGs ----


def find_templates(folder: Path, attributes: Sequence[str]) -> dict[str, list[Path]]:
    """Find the PNGs of attributes in `folder/<attribute>/`.

    Args:
        folder: The folder.
        attributes: The attributes that may have templates.

    Returns:
        PNGs in order, by attribute that has any.

    Raises:
        ConfigError: The folder is missing, or holds no templates of these attributes.
    """
    where = f"compositor.templates: {folder}"
    if not folder.is_dir():
        raise ConfigError(f"{where}: no such folder. Name a folder with <attribute>/*.png, or set it to drawn")
    paths = {name: sorted(p for p in (folder / name).glob("*") if p.suffix.lower() == ".png") for name in attributes}
    paths = {name: list(files) for name, files in paths.items() if files}
    if not paths:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        near = [suggest_name(name, attributes) for name in names]
        hint = next((text for text in near if text), "")
        raise ConfigError(
            f"{where}: no templates of {', '.join(attributes)}; its folders are {', '.join(names) or 'none'}{hint}. "
            "Put PNGs with transparency into <folder>/<attribute>/"
        )
    return paths


def read_bank(paths: Sequence[Path], box: TemplateBox, image_size: int) -> Bank:
    """Read PNGs as templates.

    Args:
        paths: The PNGs.
        box: Where they lie on the template frame.
        image_size: Size of the images on which the templates are laid, in pixels.

    Raises:
        ConfigError: Names every PNG that cannot be used.
    """
    problems, layers = [], []
    for path in paths:
        try:
            layers.append(to_bytes(fit_template(read_png(path), box, image_size)[None])[0])
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(join_problems(problems))
    return torch.stack(layers), torch.tensor([STANDARD_WEARER] * len(layers))


def read_png(path: Path) -> Float[Tensor, "4 h w"]:
    """Read a PNG as RGBA in [0, 1], the colour multiplied by alpha.

    Raises:
        ConfigError: It cannot be read, has no alpha, or its alpha is the same everywhere.
    """
    try:
        with Image.open(path) as picture:
            has_alpha = "A" in picture.getbands() or "transparency" in picture.info
            rgba = torch.from_numpy(np.asarray(picture.convert("RGBA")).copy()).permute(2, 0, 1).float() / 255.0
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a picture ({error}). Replace or remove it") from error
    alpha = rgba[3:]
    if not has_alpha or bool((alpha == 1).all()):
        raise ConfigError(f"{path}: no pixel is transparent. Save it as RGBA, with alpha 0 around the template")
    if not bool((alpha > 0).any()):
        raise ConfigError(f"{path}: every pixel is transparent. Replace or remove it")
    return torch.cat([rgba[:3] * alpha, alpha])


def fit_template(rgba: Float[Tensor, "4 h w"], box: TemplateBox, image_size: int) -> Float[Tensor, "4 s s"]:
    """Resize a PNG into the template frame, and make its edges as soft as a pixel of the image.

    Args:
        rgba: RGBA in [0, 1], the colour multiplied by alpha.
        box: Where it lies on the frame.
        image_size: Size of the images on which the templates are laid, in pixels.
    """
    size = choose_template_size(image_size)
    width = max(1, round(box.width * size))
    height = max(1, round(width * rgba.shape[1] / rgba.shape[2]))
    small = F.interpolate(rgba[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0.0, 1.0)
    top, left = round(box.y * size - height / 2), round(box.x * size - width / 2)
    frame = torch.zeros(4, size, size)
    # the part of the picture that lies on the frame
    rows, columns = slice(max(0, top), max(0, top + height)), slice(max(0, left), max(0, left + width))
    shown = small[
        :, max(0, -top) : max(0, -top) + size - rows.start, max(0, -left) : max(0, -left) + size - columns.start
    ]
    frame[:, rows.start : rows.start + shown.shape[1], columns.start : columns.start + shown.shape[2]] = shown
    pixel = size // image_size // 2 * 2 + 1 if size > image_size else 1  # odd, so that nothing is shifted
    return F.avg_pool2d(frame[None], pixel, stride=1, padding=pixel // 2)[0]


class TemplateBank:
    """The templates of several attributes, made when they are first needed and kept on each device.

    Args:
        makers: Makes the bank of an attribute on the CPU, by attribute. The banks may have different lengths; a number
            of a template beyond its bank starts again from the first.
        lengths: Length of each bank, in the same order.
        size: Height and width of the templates.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Bank]], lengths: Sequence[int], size: int) -> None:
        self.makers, self.lengths, self.size = dict(makers), tuple(lengths), size
        self.templates = max(lengths, default=0)
        self._made: dict[torch.device, Bank] = {}

    def get(self, device: torch.device) -> Bank:
        """Return all templates, `templates` of each attribute one after the other; zeros on `meta`."""
        if device not in self._made:
            self._made[device] = self._make(device)
        return self._made[device]

    def _make(self, device: torch.device) -> Bank:
        """Make the banks, and repeat the shorter ones."""
        count = len(self.makers) * self.templates
        if device.type == "meta":
            rgba = torch.zeros(count, 4, self.size, self.size, dtype=torch.uint8, device=device)
            return rgba, torch.zeros(count, len(WEARER), device=device)
        with torch.device("cpu"), torch.no_grad():
            banks = [make() for make in self.makers.values()]
            rows = [torch.arange(self.templates) % length for length in self.lengths]
            rgba = torch.cat([bank[0][row] for bank, row in zip(banks, rows, strict=True)])
            wearer = torch.cat([bank[1][row] for bank, row in zip(banks, rows, strict=True)])
        return rgba.to(device), wearer.to(device)
