"""The table of SD-GAN: what the direction does alone, and what the offset adds, on faces that the run generates.

Rows, for faces without the attribute: the face itself, the composite, the direction at several strengths, direction
and offset together, that with another face's offset and with the mean offset, the offset without its direction, and
the offset of a run that was trained without the direction (`--alone`). With `--refine N`, the offset after N steps of
gradient descent for each face (`zoo edit --refine N`); it may be given again. Columns: success by a judge
that trained nothing, L1 to the face outside the template, and L1 to the composite inside it.

python benchmarks/sd_gan_table.py RUN --judge JUDGE [--alone RUN] [--faces 500] [--refine 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from zoogan import load
from zoogan.editors import DecompositionEditor
from zoogan.interfaces import Edit, Request
from zoogan.judges.judge import Judge, load_judge

BATCH, STRENGTHS, WIDER = 50, (0.5, 1.0, 1.5, 2.0), 3
LONGEST = 400  # batches in which enough faces without an attribute must turn up
Row = dict[str, float]


def open_editor(path: Path) -> DecompositionEditor:
    """Open the editor of an SD-GAN run."""
    editor = load(path).editor
    if not isinstance(editor, DecompositionEditor):
        raise SystemExit(f"{path}: this run computes no offsets")
    return editor


def select_faces(editor: DecompositionEditor, judge: Judge, attribute: str, count: int, seed: int) -> Tensor:
    """Generate faces until `count` do not show the attribute, and return their latents (count, rows, s)."""
    column, latents, found = judge.attributes.index(attribute), [], 0
    for _ in range(LONGEST):
        if found >= count:
            break
        face = editor.sample(range(seed, seed + BATCH))
        without = judge.read_attributes(face.image)[:, column] <= judge.thresholds[column]
        latents.append(face.extras["latents"][without])
        found, seed = found + int(without.sum()), seed + BATCH
    if found < count:
        raise SystemExit(f"{attribute}: only {found} of {LONGEST * BATCH} generated faces do not show it")
    return torch.cat(latents)[:count]


def average(difference: Tensor, weight: Tensor) -> Tensor:
    """Average the absolute differences (n, c, h, w) of each face over the pixels that count (n, 1, h, w)."""
    return (difference.abs() * weight).sum((1, 2, 3)) / (difference.shape[1] * weight.sum((1, 2, 3))).clamp(min=1)


def find_outside(mask: Tensor) -> Tensor:
    """Return 1 for the pixels that lie neither under the template nor next to it."""
    return 1 - torch.nn.functional.max_pool2d(mask, WIDER, stride=1, padding=WIDER // 2)


def measure(edited: Tensor, edit: Edit, face: Tensor, judge: Judge, column: int) -> Tensor:
    """Measure images: success, L1 outside and L1 inside of each, (n, 3)."""
    mask, composite = edit.extras["composite_mask"], edit.extras["composite"]
    shown = (judge.read_attributes(edited)[:, column] > judge.thresholds[column]).float()
    return torch.stack(
        [shown, average(edited - face, find_outside(mask)), average(edited - composite, mask)], 1
    )  # fmt: skip


@torch.no_grad()
def compute_table(
    editor: DecompositionEditor,
    alone: DecompositionEditor | None,
    judge: Judge,
    attribute: str,
    latents: Tensor,
    refine: Sequence[int] = (),
) -> dict[str, Row]:
    """Measure every row of the table on faces without the attribute; one for each number of steps to refine too."""
    column, rows = judge.attributes.index(attribute), {}
    targets = [editor.resolve(Request({attribute: 1.0}, latents=w), torch.empty(0)) for w in latents.split(BATCH)]
    offset = torch.cat([target["offset"] for target in targets])
    strange = offset.roll(1, 0)
    mean = offset.mean(0, keepdim=True).expand_as(offset)

    def run(make: Callable[[dict[str, Tensor], slice], Tensor | None], owner: DecompositionEditor = editor) -> Row:
        values, first = [], 0
        for target, w in zip(targets, latents.split(BATCH)):
            rows = slice(first, first + len(w))
            first += len(w)
            edit = editor.apply(torch.empty(0), target)
            moved = make(target, rows)
            face = owner.synthesise(w).image
            image = edit.extras["composite"] if moved is None else owner.synthesise(moved).image
            values.append(measure(image, edit, face, judge, column))
        success, outside, inside = torch.cat(values).mean(0).tolist()
        return {"success": success, "outside": outside, "inside": inside}

    def add(target: dict[str, Tensor], move: float, part: Tensor | None) -> Tensor:
        latents = target["latents"] + move * target["move"][:, None]
        return latents if part is None else latents + part

    rows["face"] = run(lambda target, _: target["latents"])
    rows["composite"] = run(lambda target, _: None)
    for strength in STRENGTHS:
        rows[f"direction x {strength:g}"] = run(lambda target, _, k=strength: add(target, k, None))
    rows["direction and offset"] = run(lambda target, here: add(target, 1, offset[here]))
    rows["with another face's offset"] = run(lambda target, here: add(target, 1, strange[here]))
    rows["with the mean offset"] = run(lambda target, here: add(target, 1, mean[here]))
    rows["offset without its direction"] = run(lambda target, here: add(target, 0, offset[here]))
    if alone is not None:
        own = [alone.resolve(Request({attribute: 1.0}, latents=w), torch.empty(0)) for w in latents.split(BATCH)]
        lone = torch.cat([target["offset"] for target in own])
        rows["offset trained alone"] = run(lambda target, here: add(target, 0, lone[here]), alone)
    for steps in refine:
        refined = torch.cat([
            editor.refine_offset(target, editor.synthesise(target["latents"]).image, steps) for target in targets
        ])  # fmt: skip
        rows[f"refined, {steps} steps"] = run(lambda target, here, own=refined: add(target, 1, own[here]))
    rows["direction at equal damage"] = interpolate(rows, rows["direction and offset"]["outside"])
    lengths = {"offset_length": float(offset.norm(dim=2).mean())}
    lengths["move_length"] = float(torch.cat([target["move"] for target in targets]).norm(dim=1).mean())
    return rows | {"lengths": lengths}


def interpolate(rows: dict[str, Row], outside: float) -> Row:
    """Interpolate the rows of the direction alone to the strength that changes as much outside."""
    points = [rows["face"], *(rows[f"direction x {strength:g}"] for strength in STRENGTHS)]
    for low, high in pairwise(points):
        if outside <= high["outside"]:
            share = (outside - low["outside"]) / (high["outside"] - low["outside"])
            return {name: low[name] + share * (high[name] - low[name]) for name in low}
    return dict(points[-1])


def print_table(attribute: str, table: dict[str, Row]) -> None:
    """Print the rows of an attribute."""
    print(f"{attribute:32} success  outside   inside")
    for name, row in table.items():
        if name != "lengths":
            print(f"  {name:30} {row['success']:7.3f}  {row['outside']:7.4f}  {row['inside']:7.4f}")
    print("  lengths:", ", ".join(f"{name} {value:.2f}" for name, value in table["lengths"].items()))


def main() -> None:
    """Measure, print and store the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--alone", type=Path)
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--refine", type=int, action="append", default=[], metavar="STEPS")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    editor, judge = open_editor(options.run), load_judge(options.judge)
    alone = None if options.alone is None else open_editor(options.alone)
    for one in (editor, alone):
        classifier = None if one is None else one.decomposition.classifier
        if classifier is not None and classifier.digest == judge.digest:
            raise SystemExit("--judge: this judge trained a run; name another")
    tables = {}
    for attribute in editor.decomposition.attributes:
        latents = select_faces(editor, judge, attribute, options.faces, options.seed)
        tables[attribute] = compute_table(editor, alone, judge, attribute, latents, options.refine)
        print_table(attribute, tables[attribute])
    if options.json is not None:
        options.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
