"""Helpers of metrics of faces with parts: the parts that an editor makes, and how a judge reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.evaluation.metrics.judged import explain_other_parts, require_judge, resize_labels
from zoogan.interfaces import Editor, PartJudge, Study, Unavailable


def list_parts(editor: Editor) -> tuple[str, ...]:
    """List the parts of the faces that an editor makes, in the order of its segmentation; empty for most editors."""
    return editor.parts if editor.can_sample else ()


def require_part_editor(editor: Editor) -> SynthesisEditor:
    """Return the editor if it makes faces with parts.

    Raises:
        Unavailable: It makes none.
    """
    if not list_parts(editor) or not isinstance(editor, SynthesisEditor):  # the metrics read its latents
        raise Unavailable("this run's faces have no parts: its generator makes no segmentation")
    return editor


def require_part_judge(study: Study) -> PartJudge:
    """Return the study's judge if it reads parts.

    Raises:
        Unavailable: There is no judge, or it reads none.
    """
    judge = require_judge(study)
    if not isinstance(judge, PartJudge) or not judge.parts:
        raise Unavailable(
            "this judge reads no segmentation: train one with `zoo judge train` on a source that has one, such as drawn"
        )
    return judge


def check_parts(judge: PartJudge, parts: Sequence[str], study: Study) -> None:
    """Check that a judge reads exactly these parts, in any order.

    Raises:
        Unavailable: It reads others; the message says how to get a judge that reads these.
    """
    if set(judge.parts) != set(parts):
        raise Unavailable(explain_other_parts(judge.parts, parts, study))


def read_parts_like(
    judge: PartJudge, image: Float[Tensor, "n 3 _ _"], parts: Sequence[str], like: Int64[Tensor, "n h w"]
) -> Int64[Tensor, "n h w"]:
    """Let a judge read the parts of faces in [-1, 1].

    Args:
        judge: The judge.
        image: The faces.
        parts: The parts; their order numbers the classes of the result.
        like: A segmentation whose size and device the result has.
    """
    labels = judge.read_parts(image)
    number = torch.tensor([list(parts).index(part) for part in judge.parts], device=like.device)
    return number[resize_labels(labels, like).to(like.device)]
