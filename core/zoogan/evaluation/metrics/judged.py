"""Base class and helpers of the metrics that use a judge."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from zoogan.data.label_sets import list_label_sets, load_label_set
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.interfaces import AttributeJudge, Measure, Statistic, Study, Unavailable
from zoogan.pictures.photo import normalize_image
from zoogan.plugins.pasting import format_judge_command


def require_judge(study: Study) -> AttributeJudge:
    """Return the study's judge.

    Raises:
        Unavailable: The study has none.
    """
    if study.judge is None:
        raise Unavailable("no judge: train one with `zoo judge train`, or name one with --judge DIR")
    return study.judge


def describe_accuracy(judge: AttributeJudge, names: Sequence[str]) -> str:
    """Describe a judge's balanced accuracy on unedited faces: of one attribute with its error, or a mean."""
    rows = [judge.table[name] for name in names if name in judge.table]
    if not rows:
        return ""
    mean = sum(row["balanced_accuracy"] for row in rows) / len(rows)
    error = f" ± {rows[0]['error']:.3f}" if len(rows) == 1 else f" over {len(rows)} attributes"
    return f"judge: balanced accuracy {mean:.3f}{error}"


class JudgedMetric(FaceMetric):
    """A metric that uses the study's judge; its notes state the judge's own accuracy."""

    def start(self, study: Study) -> None:
        """Check that there is a judge and that it reads an attribute of the study.

        Raises:
            Unavailable: There is none, or it reads none of the attributes.
        """
        self.judge = require_judge(study)
        if not set(self.judge.attributes) & set(study.edited_attributes):
            names, readable = ", ".join(study.edited_attributes), ", ".join(self.judge.attributes) or "no attributes"
            raise Unavailable(f"the judge reads {readable}, none of {names}: train another with `zoo judge train`")
        super().start(study)

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure whose backbone is the judge."""
        judge = self.judge
        return Measure(
            name, attribute, statistic, self.better[name], backbone=f"judge {judge.backbone}", weights=judge.digest,
            resizer=judge.resizer, note=self.describe_judge(attribute), libraries=("timm",),
        )  # fmt: skip

    def describe_judge(self, attribute: str | None) -> str:
        """Describe the judge's accuracy on an attribute; None = over all attributes."""
        return ""


def explain_other_parts(judge_parts: Sequence[str], parts: Sequence[str], study: Study) -> str:
    """Explain why a judge cannot read these parts, and how to train one that can."""
    label_set = next((name for name in list_label_sets() if load_label_set(name).names == tuple(parts)), None)
    option = f"data.label_set={label_set or 'FILE'}"
    command = format_judge_command(study.source_name, study.source.image_size, "--set", option)
    different = sorted(set(judge_parts) ^ set(parts))
    difference = f"they differ in {', '.join(different)}" if different else "in another order"
    return (
        f"the judge reads {len(judge_parts)} parts, {len(parts)} are needed ({difference}): train one that "
        f"reads these, `{command} --out DIR`, and name it with --judge DIR"
    )


def resize_labels(labels: Tensor | None, like: Tensor) -> Tensor:
    """Resize a segmentation (n, h, w) to the size of another by nearest pixels, as classes have no mean."""
    assert labels is not None
    if labels.shape == like.shape:
        return labels
    return F.interpolate(labels[:, None].float(), like.shape[-2:], mode="nearest-exact")[:, 0].long()


def read_first_face(study: Study) -> Tensor:
    """Read one face of the study, (1, 3, s, s), to test which labels a judge reads."""
    return normalize_image(study.source.read(study.split, [0])["image"]).to(study.device)
