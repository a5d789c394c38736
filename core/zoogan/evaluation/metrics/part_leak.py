"""Whether the parts of generated faces are apart: one of them replaced, what happens elsewhere?"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.evaluation.config import PartLeakConfig
from zoogan.evaluation.metrics.parts import maker_of_parts
from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.interfaces import Measure, Samples, Statistic
from zoogan.interfaces.metric import seeds_of
from zoogan.interfaces.synthesis import LatentGenerator, noise_among

KINDS = MappingProxyType({"shape": ("shape",), "texture": ("texture",), "both": ("shape", "texture")})


class PartLeak(FaceMetric):
    """Every part but the background of the first samples, replaced by that of another sample, noise and all else kept.

    Its region is where the part is before or after. `part_leak.shape`, `.texture`, `.both`, by what is replaced: mean
    |change| outside of the region / mean |change| inside, both summed over faces. `part_leak.others.*`: mean over the
    other parts of intersection over union before and after, outside of the region, as a part that shrinks must uncover
    something. `part_leak.relabelled`: share of pixels that change their label when a texture is replaced.
    `part_leak.present`: share of samples that show the part. Faces without a region, or without anything outside, do
    not count. Pictures are compared as they were made, before they are rounded.
    """

    looks_at = ("samples",)
    title = "Part leak: a part replaced by that of another face, and what it changes elsewhere"
    better: ClassVar[dict[str, Better]] = {
        "part_leak.shape": "lower", "part_leak.texture": "lower", "part_leak.both": "lower",
        "part_leak.others.shape": "higher", "part_leak.others.texture": "higher", "part_leak.others.both": "higher",
        "part_leak.relabelled": "lower", "part_leak.present": None,
    }  # fmt: skip

    def __init__(self, config: PartLeakConfig | None = None, facts: object = None) -> None:
        """How many samples to look at."""
        super().__init__()
        self.config = config or PartLeakConfig()

    def see(self, samples: Samples) -> None:
        """One row a face, part and kind of latent; for `others` one for each other part.

        Raises:
            Unavailable: the samples have no parts, or none with latents of its own.
        """
        maker = maker_of_parts(samples.editor)
        replaceable = replaceable_parts(maker.generator)
        first = samples.faces[samples.faces < self.config.faces]
        if not len(first):
            return
        if len(first) < len(samples.faces):
            samples = Samples(maker, first, seed=samples.seed, truncation=samples.truncation)
        before, parts = samples.made, maker.generator.parts
        assert before.segmentation is not None
        latents, noise = before.extras["latents"], noise_among(before.extras)
        truncation = None if samples.truncation == 1 else samples.truncation
        other = maker.latents(seeds_of(samples.seed + 1, samples.faces), truncation=truncation)
        for part, kinds in replaceable.items():
            own = before.segmentation == parts.index(part)
            self.add("part_leak.present", samples, own.flatten(1).any(1), attribute=part)
            for kind in kinds:
                after = maker.synthesise(maker.replaced(latents, other, part, KINDS[kind]), noise)
                assert after.segmentation is not None
                region = own | (after.segmentation == parts.index(part))
                counts = region.flatten(1).any(1) & (~region).flatten(1).any(1)
                change = (after.image - before.image).abs().mean(1)
                outside, inside = masked_mean(change, ~region), masked_mean(change, region)
                self.add(f"part_leak.{kind}", samples, outside, inside, where=counts, attribute=part)
                pairs = label_pairs(before.segmentation, after.segmentation, len(parts))
                if kind == "texture":
                    self.add("part_leak.relabelled", samples, relabelled(pairs), where=counts, attribute=part)
                kept = label_pairs(before.segmentation, after.segmentation, len(parts), ~region)
                self.add_others(f"part_leak.others.{kind}", samples, kept, counts, part)

    def add_others(
        self, name: str, samples: Samples, pairs: Int64[Tensor, "n k k"], counts: Bool[Tensor, " n"], part: str
    ) -> None:
        """Intersection and union of every other part, from the pixels outside of the region."""
        same = pairs.diagonal(dim1=1, dim2=2)
        union = pairs.sum(1) + pairs.sum(2) - same
        for k in range(pairs.shape[1]):
            stratum = torch.full_like(samples.faces, k)
            where = counts & (union[:, k] > 0)
            self.add(name, samples, same[:, k], union[:, k], stratum, where, attribute=part)

    def measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """With the number of samples that were looked at."""
        faces = min(self.config.faces, self.study.faces)
        return Measure(name, attribute, statistic, self.better[name], note=f"of the first {faces} samples")


def replaceable_parts(generator: LatentGenerator) -> dict[str, list[str]]:
    """Part -> what of it can be replaced, `shape`, `texture` or `both`; all but the background, which comes first."""
    return {
        part: [kind for kind, asked in KINDS.items() if all(name in generator.part_rows[part] for name in asked)]
        for part in generator.parts[1:]
        if part in generator.part_rows
    }


def masked_mean(values: Float[Tensor, "n h w"], where: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """The mean of each face's values in a region; 0 where it is empty."""
    return (values * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)


def label_pairs(
    before: Int64[Tensor, "n h w"], after: Int64[Tensor, "n h w"], classes: int, where: Tensor | None = None
) -> Int64[Tensor, "n k k"]:
    """How many pixels of each face had one label and have another: (n, before, after). where: of these pixels alone."""
    face = torch.arange(len(before), device=before.device).view(-1, 1, 1)
    codes = (face * classes + before) * classes + after
    chosen = codes.flatten() if where is None else codes[where]
    return chosen.bincount(minlength=len(before) * classes**2).view(-1, classes, classes)


def relabelled(pairs: Int64[Tensor, "n k k"]) -> Float[Tensor, " n"]:
    """The share of each face's pixels whose label is another one after than before."""
    return 1 - pairs.diagonal(dim1=1, dim2=2).sum(1) / pairs.flatten(1).sum(1)
