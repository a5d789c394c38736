"""The base of the editors of layouts, which redraw the map of the parts of a face and make no image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from zoogan.editors.style_options import check_style_options
from zoogan.facts import Facts
from zoogan.interfaces import (
    Column,
    Edit,
    Editor,
    Graph,
    HeatMaps,
    Masks,
    Networks,
    Pipelines,
    Request,
    Seed,
    StyleCondition,
    Targets,
    make_calls,
    make_example_faces,
    make_example_latents,
    make_example_layout,
)
from zoogan.interfaces.draws import derive_seed
from zoogan.layers.layout import make_layout

MEAN_OF = 1000  # latents whose mean style truncation pulls to (SMILE's official code)
COLUMN_STYLES = 2
GIVEN_STYLES = ("style", "reference", "drive")  # targets that give the style, which is drawn otherwise


class ColumnEdit(NamedTuple):
    """An edit that a sample grid shows.

    Attributes:
        caption: Text above its column.
        targets: Targets of `LayoutEditor.apply`, without the layout.
        is_random: Whether it depends on its seed.
    """

    caption: str
    targets: Targets
    is_random: bool = True


class LayoutEditor(Editor):
    """Redraws layouts in styles; what the styles are of and where they come from is up to the derived class.

    Args:
        networks: The networks by slot.
        condition: Parses requests.
        facts: Attributes and parts.
        heat_maps: Finds where a face's own detail is kept.

    Source: SMILE (Romero et al. 2021), section 3.1; official `demo.py`, `misc/visualization.py`.
    """

    takes_layout = True
    needs_layout = True
    makes_images = False
    takes_truncation = True
    condition: StyleCondition

    def __init__(self, networks: Networks, condition: StyleCondition, facts: Facts, heat_maps: HeatMaps) -> None:
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.attributes = condition, facts.attributes
        self.reads_photos = heat_maps.reads == "image"
        self._parts, self.heat_maps = facts.parts, heat_maps
        self.mask_fields = ("segmentation", *((heat_maps.field,) if heat_maps.field else ()))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the classes of a layout."""
        return self._parts

    # ---- what is read of a face ----

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

    def get_masks(self, image: Float[Tensor, "n c h w"], targets: Targets) -> Masks | None:
        """Return the heat maps of faces: from files, or read off the layout or the photo; None = there are none."""
        if self.heat_maps.field is not None:
            stored = targets.get(self.heat_maps.field)
            return None if stored is None else (stored[:, :1], stored[:, 1:])
        return self.heat_maps(targets["layout"] if self.heat_maps.reads == "layout" else image)

    def repeat_layouts(
        self, name: str, layouts: Float[Tensor, "m k h w"], image: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n k h w"]:
        """Return the layout of another face for each face.

        Args:
            name: What they are, for messages.
            layouts: One for all faces, or one for each.
            image: The photos of the faces.

        Raises:
            ValueError: Another number, or layouts of other parts.
        """
        if len(layouts) not in (1, len(image)):
            raise ValueError(f"{len(layouts)} {name}s for {len(image)} images: give one, or one each")
        if layouts.shape[1] != len(self.parts):
            raise ValueError(
                f"the {name} has {layouts.shape[1]} channels; this editor takes layouts of {len(self.parts)} parts"
            )
        return layouts.to(image).expand(len(image), *layouts.shape[1:]).clone()

    # ---- styles ----

    def draw_latents(self, seeds: Sequence[int], faces: int) -> Float[Tensor, "n z"]:
        """Draw the latent of each face from its seed, or from the only one."""
        mapping: Any = self.networks["mapping"]
        latents = [
            torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(derive_seed("style", seed)))
            for seed in seeds
        ]
        return torch.stack(latents).to(next(mapping.parameters())).expand(faces, -1)

    @torch.no_grad()
    def compute_mean_style(self, domain: Float[Tensor, "1 d"]) -> Float[Tensor, "a s"]:
        """Compute the mean of 1,000 drawn styles of the domains in one row."""
        mapping: Any = self.networks["mapping"]
        noise = torch.randn(MEAN_OF, mapping.latent_dim, generator=torch.Generator().manual_seed(0))
        style: Tensor = mapping(noise.to(next(mapping.parameters())), domain.expand(MEAN_OF, -1))
        return style.mean(0)

    @abstractmethod
    def choose_style(
        self,
        layout: Float[Tensor, "n k h w"],
        targets: Targets,
        seed: Seed,
        strength: float,
        truncation: float | None,
    ) -> tuple[Float[Tensor, "n a s"], Targets]:
        """Choose the styles of an edit, see `apply`.

        Returns:
            (the styles; the labels `own` and `target` (n, a), 0 or 1).
        """

    @abstractmethod
    def find_redrawn(self, targets: Targets) -> Bool[Tensor, " n"]:
        """Find the faces whose layout a request changes; where only codes of parts were asked for it stays."""

    @abstractmethod
    def list_column_edits(self, attributes: Float[Tensor, "n a"], layout: Float[Tensor, "n k h w"]) -> list[ColumnEdit]:
        """List the edits that a sample grid shows of faces with these labels and layouts."""

    # ---- edits ----

    @abstractmethod
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets. References and drives are layouts (m, k, h, w), one for all or one for each."""

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
                `style` (n, a, s), which replaces all styles.
            seed: Seed of the drawn styles, one for all faces or one for each.
            strength: How far the styles move from the face's own to the new ones; 0 returns the layout itself.
            threshold: Must be None: there is no mask.
            truncation: How far drawn styles may be from the mean style, 0 to 1; None = 1.

        Returns:
            The edit: `segmentation` (n, h, w), no image; `extras` has `style` (n, a, s), and the labels `own` and
            `target` (n, a).

        Raises:
            ValueError: There is no layout, a threshold, a truncation of another face's style or out of range, or a
                wrong number of seeds.
        """
        if "layout" not in targets:
            raise ValueError("this run edits the map of the parts of a face: give it too, with --layout FILE")
        has_style = any(name in targets for name in GIVEN_STYLES)
        check_style_options(len(image), seed, threshold, truncation, has_style=has_style)
        layout = targets["layout"]
        style, labels = self.choose_style(layout, targets, seed, strength, truncation)
        extras = labels | {"style": style}
        if strength == 0:
            return Edit(None, segmentation=layout.argmax(1), extras=extras)
        raw = self.networks["generator"](layout, style, self.get_masks(image, targets))
        return Edit(None, segmentation=raw.argmax(1), extras=extras)

    # ---- graphs ----

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `generator`, which scores the parts, and `redraw`, and those of the styles."""
        layout = make_example_layout(facts)
        styles = self.make_style_graphs(facts)
        generator: Any = self.networks["generator"]
        inputs = {"layout": layout, "style": make_example_latents(self.styles, generator.style_dim)}
        if self.reads_photos and not self.heat_maps.is_empty:
            inputs["image"] = make_example_faces(facts)
        scores = make_example_latents(*layout.shape[1:])
        redraw = {"layout": layout, "scores": scores} | self.make_example_redraw()
        own = (Graph("generator", self._score_parts, inputs, ("scores",)),
               Graph("redraw", self.redraw, redraw, ("edited_layout",)))  # fmt: skip
        tasks = {name: make_calls(*calls, "generator", "redraw") for name, calls in styles.tasks.items()}
        return Pipelines((*styles.graphs, *own), tasks)

    def _score_parts(self, layout: Tensor, style: Tensor, image: Tensor | None = None) -> Tensor:
        masks = self.get_masks(layout if image is None else image, {"layout": layout})
        scores: Tensor = self.networks["generator"](layout, style, masks)
        return scores

    def redraw(self, layout: Tensor, scores: Tensor) -> Tensor:
        """Make the edited layout (n, k, h, w), one-hot, of the scores of its parts; all faces are redrawn."""
        return make_layout(scores.argmax(1), len(self.parts), layout.dtype)

    @property
    def styles(self) -> int:
        """Number of styles of a face."""
        return max(1, len(self.attributes))

    def make_example_redraw(self) -> dict[str, Tensor]:
        """Make example inputs of `redraw` beside layout and scores; by default there are none."""
        return {}

    @abstractmethod
    def make_style_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs that compute `style` (n, styles, s), and the tasks that they begin."""

    # ---- sample grids ----

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid: the layout, then its edits, random ones in two styles."""
        masks, classes = masks or {}, len(self.parts)
        columns = [Column("layout", masks["layout"].argmax(1), classes=classes)]
        for caption, targets, is_random in self.list_column_edits(attributes, masks["layout"]):
            for seed in range(COLUMN_STYLES if is_random else 1):
                edit = self.apply(image, targets | masks, seed=seed)
                assert edit.segmentation is not None
                columns.append(
                    Column(f"{caption}, seed {seed}" if is_random else caption, edit.segmentation, classes=classes)
                )
        return columns
