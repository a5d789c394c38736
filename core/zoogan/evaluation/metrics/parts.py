"""Makers of faces with parts: which parts there are, and how a judge reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.evaluation.metrics.judged import fitted, judge_of, other_parts
from zoogan.interfaces import Editor, Parser, Study, Unavailable


def parts_made(editor: Editor) -> tuple[str, ...]:
    """The parts of the faces that an editor makes, in the order of its segmentation; none for most editors."""
    return editor.generator.parts if isinstance(editor, SynthesisEditor) else ()


def maker_of_parts(editor: Editor) -> SynthesisEditor:
    """The editor as a maker of faces with parts.

    Raises:
        Unavailable: it makes none.
    """
    if not parts_made(editor):
        raise Unavailable("this run's faces have no parts: its generator makes no segmentation")
    assert isinstance(editor, SynthesisEditor)
    return editor


def parser_of(study: Study) -> Parser:
    """The study's judge, as one that tells parts apart.

    Raises:
        Unavailable: there is no judge, or it tells none apart.
    """
    judge = judge_of(study)
    if not isinstance(judge, Parser) or not judge.parts:
        raise Unavailable(
            "this judge reads no segmentation: train one with `zoo judge train` on a source that has one, such as drawn"
        )
    return judge


def check_parts(judge: Parser, parts: Sequence[str], study: Study) -> None:
    """That a judge tells exactly these parts apart, in whatever order.

    Raises:
        Unavailable: if not; it says how to get one that does.
    """
    if set(judge.parts) != set(parts):
        raise Unavailable(other_parts(judge.parts, parts, study))


def reading(
    judge: Parser, image: Float[Tensor, "n 3 _ _"], parts: Sequence[str], like: Int64[Tensor, "n h w"]
) -> Int64[Tensor, "n h w"]:
    """What a judge reads off faces in [-1, 1], numbered as `parts` are and of the size of `like`."""
    told = judge.segmentation(image)
    number = torch.tensor([list(parts).index(part) for part in judge.parts], device=like.device)
    return number[fitted(told, like).to(like.device)]
