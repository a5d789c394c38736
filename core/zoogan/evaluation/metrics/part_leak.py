"""Part leak: how much a face changes elsewhere when one of its parts is replaced."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.parts import require_part_editor
from zoogan.interfaces import Headline, Measure, Samples, Statistic
from zoogan.interfaces.edits import make_face_seeds
from zoogan.interfaces.synthesis import LatentGenerator, collect_noise

REPLACED = MappingProxyType({"shape": ("shape",), "texture": ("texture",), "both": ("shape", "texture")})


class PartLeak(FaceMetric):
    """Changes outside a part that is replaced by the part of another sample; noise and everything else stay equal.

    Measured for every part but the background, on the first samples. The region of a part is where it is before or
    after. Faces whose region is empty or covers the image do not count. Pictures are compared before rounding.

    - `part_leak.shape`, `.texture`, `.both` (the latents that are replaced): mean |change| outside the region / mean
    |change| inside, both summed over faces.
    - `part_leak.others.*`: intersection over union of every other part before and after, mean over these parts. Only
    pixels outside the region count, since a part that shrinks uncovers others.
    - `part_leak.relabelled`: share of pixels whose label changes when a texture is replaced.
    - `part_leak.present`: share of samples that show the part.
    """

    class Config(ComponentConfig):
        """Options of `part_leak`.

        Attributes:
            faces: Number of samples that are measured, the first ones.
        """

        use: Literal["part_leak"] = "part_leak"
        faces: int = Field(100, ge=1)

    kinds = ("samples",)
    title = "Part leak: changes elsewhere when a part is replaced by that of another face"
    default_for: ClassVar = {"parts": 20}
    headlines: ClassVar = {
        "part_leak.shape": Headline("Leak of a shape", "change outside of a replaced part, against inside", 110, 140),
        "part_leak.texture": Headline(
            "Leak of a texture", "change outside of a replaced part, against inside", 120, 150
        ),
    }
    better: ClassVar = {
        "part_leak.shape": "lower", "part_leak.texture": "lower", "part_leak.both": "lower",
        "part_leak.others.shape": "higher", "part_leak.others.texture": "higher", "part_leak.others.both": "higher",
        "part_leak.relabelled": "lower", "part_leak.present": None,
    }  # fmt: skip
    config: Config

    def update_samples(self, samples: Samples) -> None:
        """Add one row a face, part and kind of latent; for `others` one for each other part.

        Raises:
            Unavailable: The samples have no parts.
        """
        editor = require_part_editor(samples.editor)
        replaceable = list_replaceable_parts(editor.generator)
        first = samples.faces[samples.faces < self.config.faces]
        if not len(first):
            return
        if len(first) < len(samples.faces):
            samples = Samples(editor, first, seed=samples.seed, truncation=samples.truncation)
        before, parts = samples.edit, editor.generator.parts
        assert before.segmentation is not None
        latents, noise = before.extras["latents"], collect_noise(before.extras)
        truncation = None if samples.truncation == 1 else samples.truncation
        donors = editor.draw_latents(make_face_seeds(samples.seed + 1, samples.faces), truncation=truncation)
        for part, kinds in replaceable.items():
            own = before.segmentation == parts.index(part)
            self.add_rows("part_leak.present", samples, own.flatten(1).any(1), attribute=part)
            for kind in kinds:
                after = editor.synthesise(editor.replace_part(latents, donors, part, REPLACED[kind]), noise)
                assert after.segmentation is not None
                region = own | (after.segmentation == parts.index(part))
                usable = region.flatten(1).any(1) & (~region).flatten(1).any(1)
                change = (after.image - before.image).abs().mean(1)
                outside, inside = average_where(change, ~region), average_where(change, region)
                self.add_rows(f"part_leak.{kind}", samples, outside, inside, where=usable, attribute=part)
                pairs = count_label_pairs(before.segmentation, after.segmentation, len(parts))
                if kind == "texture":
                    share = compute_relabelled_share(pairs)
                    self.add_rows("part_leak.relabelled", samples, share, where=usable, attribute=part)
                pairs = count_label_pairs(before.segmentation, after.segmentation, len(parts), ~region)
                self._add_others(f"part_leak.others.{kind}", samples, pairs, usable, part)

    def _add_others(
        self, name: str, samples: Samples, pairs: Int64[Tensor, "n k k"], usable: Bool[Tensor, " n"], part: str
    ) -> None:
        """Add intersection and union of every other part, from the pixels outside the region."""
        same = pairs.diagonal(dim1=1, dim2=2)
        union = pairs.sum(1) + pairs.sum(2) - same
        for k in range(pairs.shape[1]):
            stratum = torch.full_like(samples.faces, k)
            where = usable & (union[:, k] > 0)
            self.add_rows(name, samples, same[:, k], union[:, k], stratum, where, attribute=part)

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure; its note states the number of samples."""
        faces = min(self.config.faces, self.study.faces)
        return Measure(name, attribute, statistic, self.better[name], note=f"of the first {faces} samples")


def list_replaceable_parts(generator: LatentGenerator) -> dict[str, list[str]]:
    """List the replaceable latents of each part: `shape`, `texture`, `both`; none of the background, part 0."""
    return {
        part: [kind for kind, names in REPLACED.items() if all(name in generator.part_rows[part] for name in names)]
        for part in generator.parts[1:]
        if part in generator.part_rows
    }


def average_where(values: Float[Tensor, "n h w"], where: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Average each face's values in a region; 0 where it is empty."""
    return (values * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)


def count_label_pairs(
    before: Int64[Tensor, "n h w"], after: Int64[Tensor, "n h w"], classes: int, where: Tensor | None = None
) -> Int64[Tensor, "n k k"]:
    """Count the pixels of each face by their label before and after.

    Args:
        before: Labels before.
        after: Labels after.
        classes: Number of labels.
        where: Count these pixels only; None = all.

    Returns:
        Counts (n, before, after).
    """
    face = torch.arange(len(before), device=before.device).view(-1, 1, 1)
    codes = (face * classes + before) * classes + after
    chosen = codes.flatten() if where is None else codes[where]
    return chosen.bincount(minlength=len(before) * classes**2).view(-1, classes, classes)


def compute_relabelled_share(pairs: Int64[Tensor, "n k k"]) -> Float[Tensor, " n"]:
    """Compute the share of each face's pixels whose label is different after."""
    return 1 - pairs.diagonal(dim1=1, dim2=2).sum(1) / pairs.flatten(1).sum(1)
