"""The editor of attributes on layouts."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.conditions.pairs import PairsCondition, make_pairs
from zoogan.editors.attribute_editor import explain_unread_labels
from zoogan.editors.layout_editor import ColumnEdit, LayoutEditor
from zoogan.facts import Facts
from zoogan.interfaces import (
    Editor,
    Graph,
    HeatMaps,
    Networks,
    Pipelines,
    Request,
    Seed,
    Targets,
    make_calls,
    make_example_labels,
    make_example_latents,
    make_example_layout,
    make_example_request,
)
from zoogan.interfaces.draws import derive_seed

ENCODER_BATCH = 50


class LayoutAttributeEditor(LayoutEditor):
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
    condition: PairsCondition

    def __init__(self, networks: Networks, condition: PairsCondition, facts: Facts, heat_maps: HeatMaps) -> None:
        super().__init__(networks, condition, facts, heat_maps)
        self.exclusive = condition.groups
        self.clears = {name: tuple(others) for name, others in condition.clears.items()}
        self._mean_styles: Tensor | None = None
        self._reference_styles: dict[tuple[int, int], Tensor] | None = None  # by attribute and value, to choose from

    @property
    def reads_labels(self) -> bool:
        """Whether the discriminator can read attributes."""
        return "discriminator" in self.networks and "discriminator" not in self.untrained

    @torch.no_grad()
    def predict_labels(self, image: Float[Tensor, "n k h w"]) -> Float[Tensor, "n a"]:
        """Predict the labels, 0 or 1, of layouts: of each pair the domain that the discriminator finds more real.

        Raises:
            ValueError: The run lacks a trained discriminator.
        """
        if not self.reads_labels:
            raise ValueError(explain_unread_labels(self.attributes))
        without = image.new_zeros(image.shape[0], len(self.attributes))
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
        reference = self.repeat_layouts("reference", request.reference, image)
        if not request.attributes:
            targets["requested"] = self.predict_labels(reference)
        restyled = (~targets["requested"].isnan()).to(image) * float(request.restyles)
        return targets | {"reference": reference, "restyled": restyled}

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
        seeds = [seed] if isinstance(seed, int) else list(seed)
        if self._reference_styles is not None:
            return self._choose_reference_styles(domain, seeds)
        style: Tensor = self.networks["mapping"](self.draw_latents(seeds, len(domain)), domain)
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
            weight = next(self.networks["mapping"].parameters())
            without = weight.new_zeros(1, len(self.attributes))
            self._mean_styles = torch.stack([
                self.compute_mean_style(make_pairs(labels)) for labels in (without, 1 - without)
            ])  # fmt: skip
        return self._mean_styles

    @torch.no_grad()
    def choose_style(
        self,
        layout: Float[Tensor, "n k h w"],
        targets: Targets,
        seed: Seed,
        strength: float,
        truncation: float | None,
    ) -> tuple[Float[Tensor, "n a s"], Targets]:
        """Choose the styles: new ones of the attributes that change, the own ones of the others; see `apply`."""
        own = targets["own"]
        if bool(own.isnan().any()):
            own = torch.where(own.isnan(), self.predict_labels(layout), own)
        target = self.condition.apply_request(own, targets["requested"])
        labels = {"own": own, "target": target}
        if "style" in targets:
            return targets["style"], labels
        after, encoder = make_pairs(target), self.networks["style_encoder"]
        kept = encoder(layout, make_pairs(own))
        reference = targets.get("reference")
        new = self.draw_style(after, seed, truncation) if reference is None else encoder(reference, after)
        is_new = own != target if reference is None else (own != target) | (targets["restyled"] > 0)
        return torch.where(is_new[..., None], kept.lerp(new, strength), kept), labels

    def find_redrawn(self, targets: Targets) -> Bool[Tensor, " n"]:
        """Find the faces of which an attribute is requested."""
        return ~targets["requested"].isnan().all(1)

    def list_column_edits(self, attributes: Float[Tensor, "n a"], layout: Float[Tensor, "n k h w"]) -> list[ColumnEdit]:
        """List the edits of a sample grid: each attribute flipped."""
        edits = []
        for k, name in enumerate(self.attributes):
            requested = torch.full_like(attributes, torch.nan)
            requested[:, k] = 1 - attributes[:, k]
            edits.append(ColumnEdit(f"{name} flipped", {"own": attributes, "requested": requested}))
        return edits

    # ---- graphs ----

    def make_style_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `labels`, where labels are read off layouts, and `style`."""
        layout, labels = make_example_layout(facts), make_example_labels(len(self.attributes))
        mapping: Any = self.networks["mapping"]
        inputs = {"layout": layout, "own": labels, "requested": make_example_request(len(self.attributes))}
        inputs["latent"] = make_example_latents(mapping.latent_dim)
        graphs = [Graph("style", self._mix_styles, inputs, ("style",))]
        if self.reads_labels:
            graphs.insert(0, Graph("labels", self.predict_labels, {"layout": layout}, ("own",)))
        return Pipelines(tuple(graphs), {"edit": make_calls(*(graph.name for graph in graphs))})

    def _mix_styles(self, layout: Tensor, own: Tensor, requested: Tensor, latent: Tensor) -> Tensor:
        """Take the drawn style of each attribute that changes, and the own style of the others."""
        target = self.condition.apply_request(own, requested)
        kept = self.networks["style_encoder"](layout, make_pairs(own))
        new = self.networks["mapping"](latent, make_pairs(target))
        return torch.where((own != target)[..., None], new, kept)

    def make_example_redraw(self) -> dict[str, Tensor]:
        """Make requested labels, without which a layout stays as it is."""
        return {"requested": make_example_request(len(self.attributes))}

    def redraw(self, layout: Tensor, scores: Tensor, requested: Tensor | None = None) -> Tensor:
        """Make the edited layout; faces of which nothing is requested keep theirs."""
        edited = super().redraw(layout, scores)
        assert requested is not None
        return torch.where(requested.isnan().all(1)[:, None, None, None], layout, edited)
