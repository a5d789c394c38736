"""Frequency: the share of samples with each attribute, compared with that of real faces, as a judge reads them."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.auxiliary.features import Features
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.judged import describe_accuracy, require_judge
from zoogan.evaluation.metrics.real_faces import Reference, load_reference, take_first_faces
from zoogan.interfaces import AttributeJudge, Headline, Measure, Samples, SetStatistic, Statistic, Study, Unavailable


class JudgeFeatures(Features):
    """A judge's probabilities as features, so that those of real faces are cached like all features.

    Args:
        judge: The judge.
    """

    libraries = ("torch", "timm")

    def __init__(self, judge: AttributeJudge) -> None:
        super().__init__()
        self.judge, self.dimensions = judge, len(judge.attributes)
        self.name, self.weights, self.resizer = f"judge {judge.backbone}", judge.digest, judge.resizer

    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """Return P(attribute) of each face."""
        return self.judge.read_attributes(image)


class Frequency(FaceMetric):
    """The share of samples on which the judge reads an attribute, compared with that of held-out real faces.

    `frequency` is |difference| for each attribute that the judge reads; `frequency.mean` and `frequency.worst` are over
    these attributes. The note states both shares, and that of the true labels.

    The judge reads both sets, so its bias cancels if it errs equally often on both. It guesses where something hides an
    attribute (hair under a hat), on both sets.

    Standard errors are binomial, of samples and of real faces. The error of the mean includes the covariance between
    attributes of one face.
    """

    kinds = ("samples",)
    title = "Frequency: the share of samples with an attribute, as the judge reads it, compared with real faces"
    default_for: ClassVar = {"samples": 40}
    headlines: ClassVar = {
        "frequency.mean": Headline(
            "Frequency gap", "between the shares of samples and of real faces that show an attribute", 90, 110
        ),
        "frequency.worst": Headline(
            "Worst frequency gap", "of the attribute whose shares differ most", comparison_place=120
        ),
    }
    better: ClassVar = {"frequency.mean": "lower", "frequency.worst": "lower", "frequency": "lower"}

    def start(self, study: Study) -> None:
        """Let the judge read the held-out faces: as many as there will be samples, or all of them.

        Raises:
            Unavailable: There is no judge, or it reads no attributes.
        """
        self.judge = require_judge(study)
        if not self.judge.attributes:
            raise Unavailable("this judge reads no attributes, only parts: train another with `zoo judge train`")
        super().start(study)
        faces = take_first_faces(study.source, study.split, study.faces)
        self.reference: Reference = load_reference(faces, JudgeFeatures(self.judge), study)
        self.real = self._decide(self.reference.features)

    def _decide(self, probabilities: Float[Tensor, "n a"]) -> Bool[Tensor, "n a"]:
        """Return the attributes that the judge reads on each face."""
        return probabilities > self.judge.thresholds.to(probabilities)

    def update_samples(self, samples: Samples) -> None:
        """Add one row a face and attribute."""
        for name, column in zip(self.judge.attributes, self._decide(self.judge.read_attributes(samples.image)).T):
            self.add_rows("frequency", samples, column, attribute=name)

    def compute(self) -> list[Measure]:
        """Compute the mean and the worst gap, then every attribute's."""
        rows, names = self.gather_rows(), self.judge.attributes
        face = rows["frequency", names[0]][0]
        made = torch.stack([rows["frequency", name][1] for name in names], 1)  # (n, a), 0 or 1
        real = self.real.double()
        gaps = (made.mean(0) - real.mean(0)).abs()
        errors = [compute_error(one, other) for one, other in zip(made.T, real.T)]
        worst = int(gaps.argmax())
        measures = [
            self._make_mean(face, made, real),
            self._make_overall("worst", face, gaps[worst], errors[worst], names[worst]),
        ]
        for k, name in enumerate(names):
            share = f"{made[:, k].mean():.3f} of {len(face)} samples"
            note = f"{share}, {self._describe_real(k)}; {describe_accuracy(self.judge, [name])}"
            statistic = SetStatistic(face, float(gaps[k]), errors[k], lower_bound=0.0)
            measures.append(self.make_measure("frequency", name, statistic, note))
        return measures

    def _make_mean(self, face: Tensor, made: Float[Tensor, "n a"], real: Float[Tensor, "m a"]) -> Measure:
        """Make the measure of the mean gap; its note states the expected gap of real faces."""
        signs = (made.mean(0) - real.mean(0)).sign()
        shares = real.mean(0)
        spread = (shares * (1 - shares) * (1 / len(made) + 1 / len(real))).sqrt()
        chance = float(spread.mean()) * math.sqrt(2 / math.pi)  # E|x| of a normal x
        gap = (made.mean(0) - real.mean(0)).abs().mean()
        note = f"over {len(signs)} attributes; as many real faces would have about {chance:.4f} by chance"
        error = compute_error((made * signs).mean(1), (real * signs).mean(1))
        return self._make_overall("mean", face, gap, error, note)

    def _make_overall(self, suffix: str, face: Tensor, value: Tensor, error: float, note: str) -> Measure:
        """Make a measure over all attributes."""
        statistic = SetStatistic(face, float(value), error, lower_bound=0.0)
        return self.make_measure(f"frequency.{suffix}", None, statistic, note)

    def _describe_real(self, k: int) -> str:
        """Describe the share of real faces with attribute `k`, as the judge reads it and, where known, by labels."""
        text = f"{self.real[:, k].double().mean():.3f} of {len(self.real)} {self.study.split} faces"
        source, name = self.study.source, self.judge.attributes[k]
        if name not in source.attributes:
            return text
        labels = source.read_labels(self.study.split)[: len(self.real), source.attributes.index(name)]
        return f"{text} ({labels.mean():.3f} by their labels)"

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic, note: str = "") -> Measure:
        """Make a measure with the judge as backbone, and the real faces that it read."""
        judge = self.judge
        return Measure(
            name, attribute, statistic, self.better[name], backbone=f"judge {judge.backbone}", weights=judge.digest,
            resizer=judge.resizer, reference=self.reference.digest, note=note, libraries=("timm",),
        )  # fmt: skip


def compute_error(one: Float[Tensor, " n"], other: Float[Tensor, " m"]) -> float:
    """Compute the standard error of the difference of two means; of values 0 and 1 it is the binomial one."""
    return math.sqrt(sum(float(x.double().var(correction=0)) / len(x) for x in (one, other)))
