"""How often attributes are seen: a maker of faces should show hats, beards and glasses as often as real faces do."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.auxiliary.features import Features
from zoogan.evaluation.metrics.judged import accuracy, judge_of
from zoogan.evaluation.metrics.reals import Reference, first_faces, reference
from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.interfaces import Measure, Reader, Samples, Statistic, Study, Unavailable, Whole


class Readings(Features):
    """A judge's probabilities as features, so that those of real faces are kept as all features are."""

    libraries = ("torch", "timm")

    def __init__(self, judge: Reader) -> None:
        super().__init__()
        self.judge, self.dimensions = judge, len(judge.attributes)
        self.name, self.weights, self.resizer = f"judge {judge.backbone}", judge.digest, judge.resizer

    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """P(attribute) of each face."""
        return self.judge.probabilities(image)


class Frequency(FaceMetric):
    """The share of samples on which the judge sees an attribute, against that of held-out real faces on which it does.

    `frequency`: |difference| for each attribute that the judge knows, `frequency.mean` and `frequency.worst` over them.
    Both sides go through the judge, so that its bias does not show as long as it errs on samples as on real faces; the
    note tells both shares, and that of the true labels. What it reads where something hides an attribute (hair under a
    hat) is a guess, on both sides the same. Errors are binomial, of samples and of real faces; that of the mean knows
    that the attributes of a face hang together.
    """

    looks_at = ("samples",)
    title = "Frequency: the share of samples on which the judge sees an attribute, against that of real faces"
    better: ClassVar[dict[str, Better]] = {"frequency.mean": "lower", "frequency.worst": "lower", "frequency": "lower"}

    def start(self, study: Study) -> None:
        """Let the judge look at the held-out faces: as many as there will be samples, or all of them.

        Raises:
            Unavailable: there is no judge, or it reads no attributes.
        """
        self.judge = judge_of(study)
        if not self.judge.attributes:
            raise Unavailable("this judge reads no attributes, only parts: train another with `zoo judge train`")
        super().start(study)
        faces = first_faces(study.source, study.split, study.faces)
        self.known: Reference = reference(faces, Readings(self.judge), study)
        self.real = self.seen(self.known.features)

    def seen(self, probabilities: Float[Tensor, "n a"]) -> Bool[Tensor, "n a"]:
        """What the judge sees."""
        return probabilities > self.judge.thresholds.to(probabilities)

    def see(self, samples: Samples) -> None:
        """One row a face and attribute."""
        for name, column in zip(self.judge.attributes, self.seen(self.judge.probabilities(samples.image)).T):
            self.add("frequency", samples, column, attribute=name)

    def measures(self) -> list[Measure]:
        """The mean and the worst gap, then every attribute's."""
        rows, names = self.joined(), self.judge.attributes
        face = rows["frequency", names[0]][0]
        made = torch.stack([rows["frequency", name][1] for name in names], 1)  # (n, a), 0 or 1
        real = self.real.double()
        gaps = (made.mean(0) - real.mean(0)).abs()
        errors = [error(one, other) for one, other in zip(made.T, real.T)]
        worst = int(gaps.argmax())
        told = [self.overall(face, made, real), self.gap("worst", face, gaps[worst], errors[worst], names[worst])]
        for k, name in enumerate(names):
            note = f"{made[:, k].mean():.3f} of {len(face)} samples, {self.of_real(k)}; {accuracy(self.judge, [name])}"
            told.append(self.measure("frequency", name, Whole(face, float(gaps[k]), errors[k], least=0.0), note))
        return told

    def overall(self, face: Tensor, made: Float[Tensor, "n a"], real: Float[Tensor, "m a"]) -> Measure:
        """The mean gap; its note says what chance alone makes of it."""
        signs = (made.mean(0) - real.mean(0)).sign()
        shares = real.mean(0)
        spread = (shares * (1 - shares) * (1 / len(made) + 1 / len(real))).sqrt()
        chance = float(spread.mean()) * math.sqrt(2 / math.pi)  # E|x| of a normal x
        gap = (made.mean(0) - real.mean(0)).abs().mean()
        note = f"over {len(signs)} attributes; as many real faces would be at about {chance:.4f} by chance"
        return self.gap("mean", face, gap, error((made * signs).mean(1), (real * signs).mean(1)), note)

    def gap(self, end: str, face: Tensor, value: Tensor, error: float, note: str) -> Measure:
        """A number over all attributes."""
        return self.measure(f"frequency.{end}", None, Whole(face, float(value), error, least=0.0), note)

    def of_real(self, k: int) -> str:
        """The share of real faces, as the judge sees them and by their labels, where those are known."""
        told = f"{self.real[:, k].double().mean():.3f} of {len(self.real)} {self.study.split} faces"
        source, name = self.study.source, self.judge.attributes[k]
        if name not in source.attributes:
            return told
        labels = source.labels(self.study.split)[: len(self.real), source.attributes.index(name)]
        return f"{told} ({labels.mean():.3f} by their labels)"

    def measure(self, name: str, attribute: str | None, statistic: Statistic, note: str = "") -> Measure:
        """With the judge, and the real faces that it saw."""
        judge: Any = self.judge
        return Measure(
            name, attribute, statistic, self.better[name], backbone=f"judge {judge.backbone}", weights=judge.digest,
            resizer=judge.resizer, reference=self.known.digest, note=note, libraries=("timm",),
        )  # fmt: skip


def error(one: Float[Tensor, " n"], other: Float[Tensor, " m"]) -> float:
    """The standard error of the difference of two means; of values 0 and 1 the binomial one."""
    return math.sqrt(sum(float(x.double().var(correction=0)) / len(x) for x in (one, other)))
