"""Compositors: they lay templates of attributes on faces, which are the targets of SD-GAN's training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan import ConfigError
from zoogan.data import LAYER_ATTRIBUTES, PLACEMENT, STANDARD_PLACEMENT, Traits
from zoogan.interfaces import Composite, Compositor
from zoogan.plugins import Facts, suggest_name
from zoogan_sd_gan.compositor_config import HeadPlace, NoCompositorConfig, TemplateBox, TemplateCompositorConfig
from zoogan_sd_gan.placement import SURFACES, WEARER, PlacedHead, Placement, TemplatePoint, sample_template
from zoogan_sd_gan.templates import Bank, TemplateBank, choose_template_size, draw_bank, find_templates, read_bank

DRAWN = "drawn"
SURFACE_OF = {
    "Face_Mask": "cylinder", "Eyeglasses": "lenses", "Wearing_Hat": "cap", "Wearing_Earrings": "ears",
}  # fmt: skip


class TemplateCompositor(Compositor):
    """Lays frontal RGBA templates on heads: placed, turned and cut as the head is, by plain tensor operations.

    Args:
        config: Its settings.
        facts: Image size and attributes of the data.

    Raises:
        ConfigError: There are no templates, a PNG cannot be used, or a setting names an attribute without templates.
    """

    def __init__(self, config: TemplateCompositorConfig, facts: Facts) -> None:
        if facts.channels != 3:
            raise ConfigError(f"compositor: templates are RGB, and the data has {facts.channels} channels. Use none")
        self.config = config
        with torch.device("cpu"):
            self.bank = make_bank(config, facts)
        self.attributes, self.templates = tuple(self.bank.makers), self.bank.templates
        self.needs_placement = config.placement == "read"
        self._check_names()
        names = [config.surfaces.get(name) or SURFACE_OF.get(name, "cylinder") for name in self.attributes]
        self.surfaces: tuple[str, ...] = tuple(dict.fromkeys(names))
        self._numbers = [self.surfaces.index(name) for name in names]
        self._places = [list_placement(config.places.get(name, config.place)) for name in self.attributes]
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _check_names(self) -> None:
        """Check the attributes that the settings name.

        Raises:
            ConfigError: Names every setting of an attribute without templates.
        """
        problems = [
            f"compositor.{field}.{name}: there are no templates of it{suggest_name(name, self.attributes)}"
            for field in ("places", "boxes", "surfaces")
            for name in getattr(self.config, field)
            if name not in self.attributes
        ]
        if problems:
            raise ConfigError("\n".join(problems))

    def compose(
        self,
        face: Float[Tensor, "n c h w"],
        attribute: Int64[Tensor, " n"],
        template: Int64[Tensor, " n"],
        placement: Placement | None = None,
    ) -> Composite:
        """Lay a template on each face.

        Args:
            face: Faces meant for [-1, 1].
            attribute: Index into `attributes`, on the device of the faces.
            template: Number of the template, from 0 to `templates` - 1, on the device of the faces.
            placement: Where the heads are, in the order of `zoogan.data.PLACEMENT`; without effect for `placement:
                fixed`.

        Raises:
            ValueError: There is no placement, and `needs_placement` is True.
        """
        numbers, places = self._get_tables(face.device)
        if not self.needs_placement:
            placement = places[attribute]
        elif placement is None:
            raise ValueError("this compositor lays templates where the head is: give it the placement of the faces")
        with torch.no_grad():
            rgba, wearers = self.bank.get(face.device)
            row = attribute * self.templates + template
            wearer = Traits({name: column.view(-1, 1, 1) for name, column in zip(WEARER, wearers[row].unbind(1))})
            head = PlacedHead(placement.float(), face.shape[-1])
            point = self._map_points(head, wearer, numbers[attribute].view(-1, 1, 1))
            layer = sample_template(rgba[row].float() / 255.0, point).to(face.dtype)
        alpha = layer[:, 3:]
        return Composite(face * (1.0 - alpha) + (2.0 * layer[:, :3] - alpha), alpha)

    def _map_points(self, head: PlacedHead, wearer: Traits, number: Int64[Tensor, "n 1 1"]) -> TemplatePoint:
        """Map pixels to the template of each face, on the surface with its number."""
        point = SURFACES[self.surfaces[0]](head, wearer)
        for k, name in enumerate(self.surfaces[1:], 1):
            other = SURFACES[name](head, wearer)
            point = TemplatePoint(*(torch.where(number == k, b, a) for a, b in zip(point, other, strict=True)))
        return point

    def _get_tables(self, device: torch.device) -> tuple[Int64[Tensor, " a"], Float[Tensor, "a p"]]:
        """Return the surface's number and the fixed placement of each attribute, on a device."""
        if device not in self._tables:
            with torch.device("cpu"):
                numbers, places = torch.tensor(self._numbers), torch.tensor(self._places)
            self._tables[device] = numbers.to(device), places.to(device)
        return self._tables[device]


def list_placement(place: HeadPlace) -> list[float]:
    """List the placement of a mean frontal head, in the order of `PLACEMENT`."""
    values = {
        **STANDARD_PLACEMENT,
        "place_u": 2.0 * place.x - 1.0,
        "place_v": 2.0 * place.y - 1.0,
        "scale": place.face_width / STANDARD_PLACEMENT["face_width"],
    }
    return [values[name] for name in PLACEMENT]


def make_bank(config: TemplateCompositorConfig, facts: Facts) -> TemplateBank:
    """Find the attributes that have templates, and prepare their bank.

    Raises:
        ConfigError: There are none, or not of all that the config names; or a PNG cannot be used.
    """
    wanted = facts.attributes if config.attributes is None else config.attributes
    size, makers, lengths = facts.image_size, dict[str, Callable[[], Bank]](), list[int]()
    if config.templates == DRAWN:
        names = [name for name in wanted if name in LAYER_ATTRIBUTES]
        check_wanted(config, wanted, names, LAYER_ATTRIBUTES)
        for name in names:
            makers[name] = partial(draw_bank, name, config.count, config.seed, size)
            lengths.append(config.count)
        return TemplateBank(makers, lengths, choose_template_size(size))
    paths = find_templates(Path(config.templates).expanduser(), wanted)
    check_wanted(config, wanted, tuple(paths), wanted)
    for name, files in paths.items():
        bank = read_bank(files, config.boxes.get(name, TemplateBox()), size)
        makers[name] = partial(tuple[Tensor, Tensor], bank)
        lengths.append(len(files))
    return TemplateBank(makers, lengths, choose_template_size(size))


def check_wanted(
    config: TemplateCompositorConfig, wanted: Sequence[str], found: Sequence[str], known: Sequence[str]
) -> None:
    """Check that there are templates of some attribute, and of all that the config names.

    Raises:
        ConfigError: There are not.
    """
    missing = [name for name in wanted if name not in found]
    if not found or (config.attributes is not None and missing):
        hint = next((text for name in missing if (text := suggest_name(name, known))), "")
        raise ConfigError(
            f"compositor: templates={config.templates} has no templates of {', '.join(missing) or 'any attribute'}"
            f"{hint}. There are drawn ones of {', '.join(LAYER_ATTRIBUTES)}; for others set compositor.templates to a "
            "folder with <attribute>/*.png, or compositor.use=none"
        )


class NoCompositor(Compositor):
    """Makes no composites.

    Args:
        config: Unused.
        facts: Unused.
    """

    def __init__(self, config: NoCompositorConfig, facts: Facts) -> None: ...

    def compose(
        self,
        face: Float[Tensor, "n c h w"],
        attribute: Int64[Tensor, " n"],
        template: Int64[Tensor, " n"],
        placement: Placement | None = None,
    ) -> Composite:
        """Return the faces with an empty mask."""
        return Composite(face, torch.zeros_like(face[:, :1]))
