"""The editor of layouts: changes attributes on the map of the parts of a face, and makes no image."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.pairs import PairsCondition, make_pairs
from zoogan.editors.style_options import check_style_options
from zoogan.facts import Facts
from zoogan.interfaces import Column, Edit, Editor, HeatMaps, Masks, Networks, Request, Seed, Targets
from zoogan.interfaces.draws import derive_seed
from zoogan.layers.layout import make_layout

MEAN_OF = 1000  # latents whose mean style truncation pulls to (SMILE's official code)
COLUMN_STYLES = 2
ENCODER_BATCH = 50


class LayoutEditor(Editor):
    """Sets and clears attributes on layouts. The style of each changed attribute is drawn, or that of a reference.

    Attributes that do not change keep the style that the style encoder reads off the face. Labels that are not given
    are read off the layout by the discriminator.

    Args:
        networks: The networks by slot.
        condition: Parses requests and applies them to labels.
        facts: Attributes and parts.
        heat_maps: Finds where a face's own detail is kept.

    Source: SMILE (Romero et al. 2021), section 3.1; official `demo.py`, `misc/visualization.py`.
    """

    takes_reference = True
    takes_whole_reference = True
    takes_layout = True
    needs_layout = True
    makes_images = False
    condition: PairsCondition

    def __init__(self, networks: Networks, condition: PairsCondition, facts: Facts, heat_maps: HeatMaps) -> None:
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.attributes, self.exclusive = condition, facts.attributes, condition.groups
        self.clears = {name: tuple(others) for name, others in condition.clears.items()}
        self.reads_photos = heat_maps.reads == "image"
        self._parts, self.heat_maps = facts.parts, heat_maps
        self.mask_fields = ("segmentation", *((heat_maps.field,) if heat_maps.field else ()))
        self._mean_styles: Tensor | None = None
        self._reference_styles: dict[tuple[int, int], Tensor] | None = None  # by attribute and value, to choose from

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the classes of a layout."""
        return self._parts

    def read_masks(self, sample: Mapping[str, Tensor], image: Float[Tensor, "n c h w"]) -> Targets:
        """Collect the layouts of faces, and their heat maps where the source has them.

        Args:
            sample: What `Source.read` returned.
            image: The images, whose device and dtype the masks get.

        Returns:
            `layout` (n, k, h, w), one-hot; heat maps in [0, 1] by the name of their field.
        """
        masks = {name: sample[name].to(image) / 255 for name in self.mask_fields[1:] if name in sample}
        if "segmentation" in sample:
            masks["layout"] = make_layout(sample["segmentation"].to(image.device), len(self.parts), image.dtype)
        return masks

    @torch.no_grad()
    def predict_labels(self, image: Float[Tensor, "n k h w"]) -> Float[Tensor, "n a"]:
        """Predict the labels, 0 or 1, of layouts: of each pair the domain that the discriminator finds more real.

        Raises:
            ValueError: The discriminator is untrained.
        """
        if "discriminator" in self.untrained:
            raise ValueError(
                "this run's discriminator is untrained, so it cannot read the attributes of a layout: give all of them "
                f"with --own, such as --own {','.join(f'{name}=0' for name in self.attributes)}"
            )
        without = image.new_zeros(len(image), len(self.attributes))
        discriminator = self.networks["discriminator"]
        scores = [discriminator(image, make_pairs(labels)) for labels in (without, 1 - without)]
        return (scores[1] > scores[0]).to(image.dtype)

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets.

        Args:
            request: The attributes to set; `reference` holds layouts (n, k, h, w) or one for all, whose style these
                attributes get, only those that change if not `request.restyles`. Without attributes a reference gives
                all of its attributes.
            image: The photos of the faces (n, 3, h, w).
            own: Labels of the faces, 0 or 1; NaN = read off the layout; None = all of them.

        Returns:
            `own` and `requested` (n, a), NaN where unknown or not requested; perhaps `reference` (n, k, h, w), with
            `restyled` (n, a), 1 where its style is taken though the label stays.

        Raises:
            ValueError: References of another number than images, or of other parts; the attributes of a bare reference
                cannot be read.
        """
        unknown = image.new_full((len(image), len(self.attributes)), torch.nan)
        requested = unknown.clone()
        for name, value in request.attributes.items():
            requested[:, self.attributes.index(name)] = value
        targets = {"own": unknown if own is None else own.to(image), "requested": requested}
        if request.reference is None:
            return targets
        reference = request.reference.to(image)
        if len(reference) not in (1, len(image)):
            raise ValueError(f"{len(reference)} references for {len(image)} images: give one, or one each")
        if reference.shape[1] != len(self.parts):
            raise ValueError(
                f"the reference has {reference.shape[1]} channels; this editor takes layouts of {len(self.parts)} parts"
            )
        if not request.attributes:
            targets["requested"] = self.predict_labels(reference).expand(len(image), -1).clone()
        restyled = (~targets["requested"].isnan()).to(image) * float(request.restyles)
        return targets | {
            "reference": reference.expand(len(image), *reference.shape[1:]).clone(), "restyled": restyled,
        }  # fmt: skip

    @torch.no_grad()
    def draw_style(
        self, domain: Float[Tensor, "n two_a"], seed: Seed, truncation: float | None = None
    ) -> Float[Tensor, "n a s"]:
        """Draw the style of every attribute from a seed.

        Args:
            domain: The pairs of each face.
            seed: One seed for all faces, or one for each.
            truncation: See `apply`.
        """
        mapping: Any = self.networks["mapping"]
        seeds = [seed] if isinstance(seed, int) else list(seed)
        if self._reference_styles is not None:
            return self._choose_reference_styles(domain, seeds)
        latents = [
            torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(derive_seed("style", one)))
            for one in seeds
        ]
        style: Tensor = mapping(torch.stack(latents).to(domain).expand(len(domain), -1), domain)
        if truncation is None or truncation == 1:
            return style
        without, with_it = self.compute_mean_styles().to(style).unbind(0)
        mean = torch.where(domain[:, 1::2, None] > 0, with_it, without)
        return mean.lerp(style, truncation)

    @torch.no_grad()
    def make_guided_editor(
        self, image: Float[Tensor, "m c h w"], own: Float[Tensor, "m a"], masks: Targets | None = None
    ) -> Editor:
        """Make a copy of this editor that takes the style of each changed attribute from a layout that shows it so.

        Raises:
            ValueError: There are no layouts, or none shows one of the attributes, or none lacks one.
        """
        layout = (masks or {}).get("layout")
        if layout is None:
            raise ValueError("these faces have no segmentation, and references are layouts")
        missing = [
            f"{'shows' if value else 'lacks'} {name}"
            for k, name in enumerate(self.attributes)
            for value in (0, 1)
            if not bool((own[:, k] == value).any())
        ]
        if missing:
            raise ValueError(f"there is no reference that {', or that '.join(missing)}")
        encoder, editor = self.networks["style_encoder"], copy.copy(self)
        pairs = make_pairs(own.nan_to_num(0.0).to(layout))
        batches = zip(layout.split(ENCODER_BATCH), pairs.split(ENCODER_BATCH))
        styles = torch.cat([encoder(*batch) for batch in batches])
        editor._reference_styles = {
            (k, value): styles[own[:, k] == value, k] for k in range(len(self.attributes)) for value in (0, 1)
        }
        return editor

    def _choose_reference_styles(self, domain: Float[Tensor, "n two_a"], seeds: list[int]) -> Float[Tensor, "n a s"]:
        """Choose for each attribute the style of a reference that has its value; the seed chooses."""
        assert self._reference_styles is not None
        seeds = seeds * len(domain) if len(seeds) == 1 else seeds
        rows = []
        for values, seed in zip(domain[:, 1::2].long().tolist(), seeds):
            pools = [self._reference_styles[k, value] for k, value in enumerate(values)]
            rows.append(
                torch.stack([pool[derive_seed("reference", seed, k) % len(pool)] for k, pool in enumerate(pools)])
            )
        return torch.stack(rows).to(domain)

    @torch.no_grad()
    def compute_mean_styles(self) -> Float[Tensor, "2 a s"]:
        """Return the mean of 1,000 drawn styles, without and with each attribute; it is computed once."""
        if self._mean_styles is None:
            mapping: Any = self.networks["mapping"]
            weight = next(mapping.parameters())
            noise = torch.randn(MEAN_OF, mapping.latent_dim, generator=torch.Generator().manual_seed(0)).to(weight)
            without = weight.new_zeros(MEAN_OF, len(self.attributes))
            self._mean_styles = torch.stack([
                mapping(noise, make_pairs(labels)).mean(0) for labels in (without, 1 - without)
            ])  # fmt: skip
        return self._mean_styles

    @torch.no_grad()
    def apply(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """Edit the layouts of faces.

        Args:
            image: The photos of the faces, of which only heat maps of landmarks are read.
            targets: What `resolve` returned, and `layout` (n, k, h, w), one-hot; perhaps heat maps from files; perhaps
                `style` (n, a, s), which replaces the styles of all attributes.
            seed: Seed of the drawn styles, one for all faces or one for each.
            strength: How far the styles move from the face's own to the new ones; 0 returns the layout itself.
            threshold: Must be None: there is no mask.
            truncation: How far drawn styles may be from the mean style, 0 to 1; None = 1.

        Returns:
            The edit: `segmentation` (n, h, w), no image; `extras` has `style` (n, a, s), and the labels `own` and
            `target` (n, a).

        Raises:
            ValueError: There is no layout, a threshold, a truncation of a reference's style or out of range, or a
                wrong number of seeds.
        """
        if "layout" not in targets:
            raise ValueError("this run edits the map of the parts of a face: give it too, with --layout FILE")
        has_style = "reference" in targets or "style" in targets
        check_style_options(len(image), seed, threshold, truncation, has_style=has_style)
        layout, own = targets["layout"], targets["own"]
        if bool(own.isnan().any()):
            own = torch.where(own.isnan(), self.predict_labels(layout), own)
        target = self.condition.apply_request(own, targets["requested"])
        before, after = make_pairs(own), make_pairs(target)
        encoder = self.networks["style_encoder"]
        kept = encoder(layout, before)
        if (style := targets.get("style")) is None:
            reference = targets.get("reference")
            new = self.draw_style(after, seed, truncation) if reference is None else encoder(reference, after)
            is_new = own != target if reference is None else (own != target) | (targets["restyled"] > 0)
            style = torch.where(is_new[..., None], kept.lerp(new, strength), kept)
        extras = {"style": style, "own": own, "target": target}
        if strength == 0:
            return Edit(None, segmentation=layout.argmax(1), extras=extras)
        raw = self.networks["generator"](layout, style, self.get_masks(image, targets))
        return Edit(None, segmentation=raw.argmax(1), extras=extras)

    def get_masks(self, image: Float[Tensor, "n c h w"], targets: Targets) -> Masks | None:
        """Return the heat maps of faces: from files, or read off the layout or the photo; None = there are none."""
        if self.heat_maps.field is not None:
            stored = targets.get(self.heat_maps.field)
            return None if stored is None else (stored[:, :1], stored[:, 1:])
        return self.heat_maps(targets["layout"] if self.heat_maps.reads == "layout" else image)

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid: the layout, then each attribute flipped, in two drawn styles."""
        masks, classes = masks or {}, len(self.parts)
        columns = [Column("layout", masks["layout"].argmax(1), classes=classes)]
        for k, name in enumerate(self.attributes):
            requested = torch.full_like(attributes, torch.nan)
            requested[:, k] = 1 - attributes[:, k]
            targets = {"own": attributes, "requested": requested} | masks
            for seed in range(COLUMN_STYLES):
                edit = self.apply(image, targets, seed=seed)
                assert edit.segmentation is not None
                columns.append(Column(f"{name} flipped, seed {seed}", edit.segmentation, classes=classes))
        return columns
