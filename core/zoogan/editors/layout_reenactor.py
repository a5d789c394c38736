"""The editor that gives a layout the expression of another."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.conditions.single import SingleCondition
from zoogan.editors.layout_editor import ColumnEdit, LayoutEditor
from zoogan.facts import Facts
from zoogan.interfaces import (
    Graph,
    HeatMaps,
    Networks,
    Pipelines,
    Request,
    Seed,
    Targets,
    make_calls,
    make_example_latents,
    make_example_layout,
)


class LayoutReenactor(LayoutEditor):
    """Gives layouts the style of another layout, or a drawn one. There is one style a face and there are no labels.

    What the style changes is what the heat maps do not keep: with inverted ones the expression.

    Args:
        networks: The networks by slot.
        condition: The one domain.
        facts: The parts.
        heat_maps: Finds where a face's own detail is kept.

    Source: SMILE (Romero et al. 2021), official `demo.py`, option `REENACTMENT`.
    """

    takes_drive = True
    condition: SingleCondition

    def __init__(self, networks: Networks, condition: SingleCondition, facts: Facts, heat_maps: HeatMaps) -> None:
        super().__init__(networks, condition, facts, heat_maps)
        self._mean_style: Tensor | None = None

    def predict_labels(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 0"]:
        """Return no labels, a row for each face."""
        return image.new_zeros(len(image), 0)

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets.

        Args:
            request: `drive` holds layouts (m, k, h, w) whose style the faces get, one for all or one for each. Without
                it the style is drawn, unless only parts of another face are asked for.
            image: The photos of the faces (n, 3, h, w).
            own: Unused: there are no labels.

        Returns:
            `own` (n, 0), `redrawn` (n,), 1 where the layout changes; perhaps `drive` (n, k, h, w).

        Raises:
            ValueError: Drives of another number than images, or of other parts.
        """
        is_redrawn = request.drive is not None or not request.parts
        targets = {"own": self.predict_labels(image), "redrawn": image.new_full((len(image),), float(is_redrawn))}
        if request.drive is not None:
            targets["drive"] = self.repeat_layouts("drive", request.drive, image)
        return targets

    def find_redrawn(self, targets: Targets) -> Bool[Tensor, " n"]:
        """Find the faces whose layout a request changes; see `resolve`."""
        return targets["redrawn"] > 0

    @torch.no_grad()
    def choose_style(
        self,
        layout: Float[Tensor, "n k h w"],
        targets: Targets,
        seed: Seed,
        strength: float,
        truncation: float | None,
    ) -> tuple[Float[Tensor, "n 1 s"], Targets]:
        """Choose the style of each face, between its own and that of the drive or of the seed; see `apply`."""
        labels = {name: self.predict_labels(layout) for name in ("own", "target")}
        if "style" in targets:
            return targets["style"], labels
        domain, encoder = self.condition.get_domains({"layout": layout}), self.networks["style_encoder"]
        if "drive" in targets:
            style = encoder(targets["drive"], domain)
        else:
            style = self.draw_style(domain, seed, truncation)
        return encoder(layout, domain).lerp(style, strength), labels

    @torch.no_grad()
    def draw_style(
        self, domain: Float[Tensor, "n 1"], seed: Seed, truncation: float | None = None
    ) -> Float[Tensor, "n 1 s"]:
        """Draw the style of every face from a seed.

        Args:
            domain: The one domain, for each face.
            seed: One seed for all faces, or one for each.
            truncation: See `apply`.
        """
        seeds = [seed] if isinstance(seed, int) else list(seed)
        style: Tensor = self.networks["mapping"](self.draw_latents(seeds, len(domain)), domain)
        if truncation is None or truncation == 1:
            return style
        if self._mean_style is None:
            self._mean_style = self.compute_mean_style(domain[:1])
        return self._mean_style.to(style).lerp(style, truncation)

    def list_column_edits(self, attributes: Float[Tensor, "n a"], layout: Float[Tensor, "n k h w"]) -> list[ColumnEdit]:
        """List the edits of a sample grid: driven by the next face, and drawn styles."""
        targets = {"own": self.predict_labels(layout), "redrawn": layout.new_ones(len(layout))}
        driven = targets | {"drive": layout.roll(-1, 0)}
        return [ColumnEdit("driven by the next", driven, is_random=False), ColumnEdit("drawn", targets)]

    # ---- graphs ----

    def make_style_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `style`, of a drawn style, and `drive`, of another layout's."""
        mapping: Any = self.networks["mapping"]
        graphs = (
            Graph("style", self._map_noise, {"latent": make_example_latents(mapping.latent_dim)}, ("style",)),
            Graph("drive", self._encode, {"drive": make_example_layout(facts)}, ("style",)),
        )
        return Pipelines(graphs, {"edit": make_calls("style"), "drive": make_calls("drive")})

    def _map_noise(self, latent: Tensor) -> Tensor:
        style: Tensor = self.networks["mapping"](latent, torch.ones_like(latent[:, :1]))
        return style

    def _encode(self, drive: Tensor) -> Tensor:
        style: Tensor = self.networks["style_encoder"](drive, torch.ones_like(drive[:, 0, 0, :1]))
        return style
