"""The editor of region synthesis: paints layouts with the codes of their parts, drawn or read off photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.unconditional import NoAttributes
from zoogan.editors.seeds import draw_latents, draw_noise
from zoogan.facts import Facts
from zoogan.interfaces import (
    Call,
    Column,
    Edit,
    Editor,
    Graph,
    LayoutGenerator,
    Networks,
    Noise,
    Pipelines,
    RegionCodes,
    Request,
    Seed,
    Targets,
    make_calls,
    make_example_faces,
    make_example_labels,
    make_example_latents,
    make_example_layout,
)
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.synthesis import LatentMapping, name_noise
from zoogan.layers.layout import make_layout

COLUMN_CODES = 3
NO_LAYOUT = "this run paints the map of the parts of a face: give it too, with --layout FILE"


class RegionEditor(Editor):
    """Paints layouts: photos again with their own codes, with the codes of another face's parts, or with drawn codes.

    Args:
        networks: The networks by slot; `region_encoder` may be missing.
        facts: The parts.
        mean_latent: The mean of drawn codes, to which truncation pulls (style_dim,).

    Attributes:
        layouts: The layouts that `sample` draws from, if none are given; None = there are none.

    Source: SMILE (Romero et al. 2021), section 3.2; official `metrics/smileSYN.py`, `demo.py`.
    """

    takes_layout = True
    needs_layout = True
    paints_layouts = True
    takes_parts = True
    takes_truncation = True
    condition: NoAttributes

    def __init__(self, networks: Networks, facts: Facts, mean_latent: Float[Tensor, " s"]) -> None:
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.mean_latent = NoAttributes(), mean_latent
        self._parts = facts.parts
        self.mask_fields = ("segmentation",)
        self.layouts: Float[Tensor, "m k h w"] | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a layout."""
        return self._parts

    @property
    def generator(self) -> LayoutGenerator:
        """The network that paints layouts."""
        return cast(LayoutGenerator, self.networks["generator"])

    @property
    def takes_strength(self) -> bool:
        """Whether there is a way between the codes of a photo and new ones."""
        return self.reads_codes

    @property
    def reads_codes(self) -> bool:
        """Whether codes can be read off photos."""
        return "region_encoder" in self.networks

    def set_layouts(self, layouts: Float[Tensor, "m k h w"]) -> None:
        """Set the layouts, one-hot, from which `sample` chooses by seed."""
        self.layouts = layouts

    def read_masks(self, sample: Mapping[str, Tensor], image: Float[Tensor, "n c h w"]) -> Targets:
        """Collect the layouts of faces: `layout` (n, k, h, w), one-hot."""
        if "segmentation" not in sample:
            return {}
        return {"layout": make_layout(sample["segmentation"].to(image.device), len(self.parts), image.dtype)}

    # ---- codes ----

    @torch.no_grad()
    def draw_codes(self, seeds: Sequence[int], truncation: float | None = None) -> Float[Tensor, "n k s"]:
        """Draw the codes of all parts from each seed.

        Args:
            seeds: One seed a face.
            truncation: How far from the mean codes: 0 is the mean, 1 (or None) what was drawn.

        Raises:
            ValueError: A truncation outside of 0..1.
        """
        mapping = cast(LatentMapping, self.networks["mapping"])
        latents = draw_latents(mapping, seeds, truncation, self.mean_latent)
        return latents.unflatten(1, (len(self.parts), -1))

    @torch.no_grad()
    def read_codes(self, image: Float[Tensor, "n c h w"], layout: Float[Tensor, "n k h w"]) -> RegionCodes:
        """Read the codes of the parts of faces.

        Raises:
            ValueError: The run has no region encoder.
        """
        if not self.reads_codes:
            raise ValueError(
                "this run has no region encoder, so it can read no codes off a photo: draw them, with --seed or "
                "--from-seed"
            )
        return cast(RegionCodes, self.networks["region_encoder"](image, layout))

    @torch.no_grad()
    def paint(
        self, codes: Float[Tensor, "n k s"], layout: Float[Tensor, "n k h w"], noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Paint layouts with the codes of their parts, clamped to [-1, 1]; noise None = the generator's own."""
        return self.generator(self.generator.repeat_latent(codes.flatten(1)), noise, layout).image.clamp(-1, 1)

    # ---- faces from seeds ----

    @torch.no_grad()
    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Float[Tensor, "#n k h w"] | None = None,
    ) -> Edit:
        """Paint layouts with drawn codes.

        Args:
            seeds: One seed a face; it decides codes and noise, and chooses one of `layouts` if none are given.
            truncation: How far from the mean codes, 0 to 1; None = 1.
            cutoff: Must be None: a code is the same at every resolution.
            layout: One-hot layouts, one for all faces or one for each.

        Returns:
            The faces and their segmentations; `extras` has the `codes`.

        Raises:
            ValueError: There are no layouts, a cutoff, a truncation out of range, or a wrong number of layouts.
        """
        if cutoff is not None:
            raise ValueError("cutoff: this run's codes are the same at every resolution: leave it out")
        codes = self.draw_codes(seeds, truncation)
        if layout is None:
            if self.layouts is None:
                raise ValueError("this run paints maps of parts: give one, with --layout FILE")
            layout = self.layouts[[derive_seed("layout", seed) % len(self.layouts) for seed in seeds]]
        if len(layout) not in (1, len(codes)):
            raise ValueError(f"{len(layout)} layouts for {len(codes)} faces: give one, or one for each")
        layout = layout.to(codes).expand(len(codes), -1, -1, -1)
        noise = draw_noise(self.generator, seeds)
        image = self.paint(codes, layout, noise)
        return Edit(image, segmentation=layout.argmax(1), extras={"codes": codes} | name_noise(noise))

    # ---- edits ----

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets.

        Returns:
            `swapped` (n, k), 1 for the parts whose codes are replaced, and `donor_codes` (n, k, s).

        Raises:
            ValueError: A donor: its layout is unknown.
        """
        if request.donor is not None:
            raise ValueError(
                "--from FILE: the map of that face's parts is unknown to this run; take the codes of a seed, with "
                "--from-seed"
            )
        return self.resolve_parts(request, len(image), None)

    def resolve_parts(self, request: Request, faces: int, donor: RegionCodes | None) -> Targets:
        """Turn requested parts into targets, see `resolve`.

        Args:
            request: The request.
            faces: The number of faces.
            donor: The codes of the face that the parts are taken from, one or as many as faces; None = those of
                `request.from_seed`.

        Raises:
            ValueError: Another number of donors, or no donor shows the part.
        """
        if not request.parts:
            return {}
        if donor is None:
            if request.from_seed is None:
                raise ValueError(f"{', '.join(request.parts)}: name the face to take it from, by from_seed or donor")
            codes = self.draw_codes([request.from_seed])
        else:
            codes = donor.codes
        if len(codes) not in (1, faces):
            raise ValueError(f"donor: got {len(codes)} faces, expected 1, or {faces}, one for each")
        swapped = torch.zeros(faces, len(self.parts), device=codes.device)
        for part in request.parts:
            place = self.parts.index(part)
            if donor is not None and not bool(donor.present[:, place].all()):
                raise ValueError(
                    f"part {part}: the face to take it from does not show it, or so small that its code cannot be read "
                    "(region_encoder.pooling=soft in training reads small parts too)"
                )
            swapped[:, place] = 1
        return {"swapped": swapped, "donor_codes": codes.expand(faces, -1, -1).clone()}

    def choose_codes(
        self, own: RegionCodes | None, targets: Targets, seeds: Sequence[int], truncation: float | None = None
    ) -> Float[Tensor, "n k s"]:
        """Choose the code of every part: that of a donor where it is replaced, else its own, else a drawn one.

        Args:
            own: The codes of the faces themselves; None = all are drawn.
            targets: What `resolve` returned.
            seeds: Seeds of drawn codes, one a face.
            truncation: See `draw_codes`.
        """
        codes = self.draw_codes(seeds, truncation)
        if own is not None:
            codes = torch.where(own.present[..., None], own.codes.to(codes.dtype), codes)
        return self.replace_codes(codes, targets)

    def replace_codes(self, codes: Float[Tensor, "n k s"], targets: Targets) -> Float[Tensor, "n k s"]:
        """Replace the codes of the parts that are taken from a donor, if any."""
        if "swapped" not in targets:
            return codes
        return torch.where(targets["swapped"][..., None] > 0, targets["donor_codes"].to(codes.dtype), codes)

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
        """Paint photos again, with the codes of some parts replaced.

        Args:
            image: The photos; a run without region encoder draws all codes and does not read them.
            targets: What `resolve` returned, and `layout` (n, k, h, w), one-hot.
            seed: Seed of drawn codes.
            strength: How far codes move from a part's own to the new ones; 0 returns the photo itself.
            threshold: Must be None: there is no mask.
            truncation: How far drawn codes may be from the mean, 0 to 1; None = 1.

        Returns:
            The painted faces and their segmentation; `extras` has the `codes`.

        Raises:
            ValueError: There is no layout, a threshold, or a truncation out of range.
        """
        if "layout" not in targets:
            raise ValueError(NO_LAYOUT)
        if threshold is not None:
            raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
        layout = targets["layout"]
        if strength == 0:
            return Edit(image, segmentation=layout.argmax(1))
        if strength != 1 and not self.reads_codes:
            raise ValueError("strength: this run reads no codes off a photo, so there is no way between: use 0 or 1")
        own = self.read_codes(image, layout) if self.reads_codes else None
        seeds = spread_seeds(seed, len(image))
        codes = self.choose_codes(own, targets, seeds, truncation)
        if own is not None and strength != 1:
            unchanged = torch.where(own.present[..., None], own.codes.to(codes.dtype), codes)
            codes = unchanged.lerp(codes, strength)
        return Edit(
            self.paint(codes, layout), segmentation=layout.argmax(1), extras={"codes": codes},
            notes=self.list_part_notes(targets, layout),
        )  # fmt: skip

    def list_part_notes(self, targets: Targets, layout: Float[Tensor, "n k h w"]) -> tuple[str, ...]:
        """List a sentence for each requested part that some of the faces do not show, so that no pixel of it changes.

        Args:
            targets: What `resolve` returned.
            layout: The layouts that are painted, one-hot.
        """
        if "swapped" not in targets:
            return ()
        absent = (targets["swapped"] > 0) & (layout.sum((2, 3)) == 0)
        return tuple(
            f"part {part}: {describe_faces(int(absent[:, k].sum()), len(layout))} not show it, so nothing of it changes"
            for k, part in enumerate(self.parts)
            if bool(absent[:, k].any())
        )

    # ---- graphs ----

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `mapping` and `generator`, and `region_encoder` where codes are read off photos."""
        image, layout, parts = make_example_faces(facts), make_example_layout(facts), len(self.parts)
        mapping = cast(LatentMapping, self.networks["mapping"])
        codes = make_example_latents(parts, self.generator.code_dim)
        noise, truncation = make_example_latents(mapping.latent_dim), torch.tensor([1.0, 0.5])
        graphs = [
            Graph("mapping", self._map_noise, {"code_latent": noise, "truncation": truncation}, ("codes",)),
            Graph("generator", self.paint, {"codes": codes, "layout": layout}, ("edited",)),
        ]
        tasks = {"sample": make_calls("mapping", "generator")}
        if self.reads_codes:
            swapped = make_example_labels(parts)
            inputs = {"image": image, "layout": layout, "codes": codes, "swapped": swapped}
            graphs.append(Graph("region_encoder", self._read_own_codes, inputs, ("own_codes",)))
            tasks["edit"] = make_calls("mapping", "region_encoder", Call("generator", {"codes": "own_codes"}))
        return Pipelines(tuple(graphs), tasks, fixed_noise=bool(self.generator.noise_sizes))

    def _map_noise(self, noise: Tensor, truncation: Tensor) -> Tensor:
        drawn = self.mean_latent.to(noise).lerp(self.networks["mapping"](noise), truncation[:, None])
        return drawn.unflatten(1, (len(self.parts), -1))

    def _read_own_codes(self, image: Tensor, layout: Tensor, codes: Tensor, swapped: Tensor) -> Tensor:
        """Read the codes of parts; those that are swapped, or that the photo lacks, keep the given ones."""
        own = self.read_codes(image, layout)
        return torch.where((own.present & (swapped == 0))[..., None], own.codes, codes)

    # ---- sample grids ----

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid: the layout, painted with the photo's codes, and with drawn ones."""
        masks, n = masks or {}, len(image)
        layout = masks["layout"]
        columns = [Column("layout", layout.argmax(1), classes=len(self.parts))]
        if self.reads_codes:
            codes, _ = self.read_codes(image, layout)
            columns.append(Column("own codes", self.paint(codes, layout)))
            columns.append(Column("codes of the next", self.apply(image, self._swap_all(image, masks)).image))
        for k in range(COLUMN_CODES):
            columns.append(Column(f"drawn codes {k}", self.sample(range(k * n, (k + 1) * n), layout=layout).image))
        return columns

    def _swap_all(self, image: Float[Tensor, "n c h w"], masks: Targets) -> Targets:
        """Make targets that give every face the codes of the next face's parts, as far as that face shows them."""
        codes, present = self.read_codes(image, masks["layout"])
        return dict(masks) | {"swapped": present.roll(-1, 0).to(image), "donor_codes": codes.roll(-1, 0)}


def describe_faces(count: int, faces: int) -> str:
    """Describe how many of the faces lack something: `the face does`, or `2 of 3 faces do`."""
    return "the face does" if faces == 1 else f"{count} of {faces} faces {'does' if count == 1 else 'do'}"


def spread_seeds(seed: Seed, faces: int) -> list[int]:
    """Return one seed for each face.

    Args:
        seed: One seed for all faces, or one for each.
        faces: The number of faces.

    Raises:
        ValueError: Another number of seeds.
    """
    if isinstance(seed, int) or len(seed) == 1:
        return [seed if isinstance(seed, int) else seed[0]] * faces
    if len(seed) != faces:
        raise ValueError(f"{len(seed)} seeds for {faces} faces: give one, or one for each")
    return list(seed)
