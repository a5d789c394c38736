"""How good a run's edits are, told by a classifier that had no part in the training.

    python benchmarks/edit_quality.py RUN [--attribute NAME] [--faces 500] [--steps 600] [--seed 1]

Fits a small classifier on the run's own training faces (mirrored at random, both values equally often), tells its
accuracy on held-out faces, edits those both ways, and prints one JSON line: the share of edits that the classifier
sees as asked for (`success_on` among faces without the attribute, `success_off` among those with it), the change
outside the mask (where it is below .1), and the edit error where the source can redraw.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoogan.data.photo import to_range
from zoogan.evaluation.edit_error import edit_error
from zoogan.interfaces import Source
from zoogan.interfaces.source import Split
from zoogan.plugins import zoo
from zoogan.training.run import LoadedRun, load


def classifier(width: int = 24) -> nn.Module:
    """Four strided convolutions and a linear layer: faces (n, 3, s, s) in [-1, 1] to one logit each (n, 1)."""
    layers: list[nn.Module] = []
    channels = 3
    for k in range(4):
        layers += [nn.Conv2d(channels, width * 2**k, 3, 2, 1), nn.BatchNorm2d(width * 2**k), nn.ReLU()]
        channels = width * 2**k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * channels, 1))


def fit(source: Source, column: int, steps: int, seed: int, batch: int = 64) -> nn.Module:
    """A classifier of one attribute, fitted on the training split."""
    torch.manual_seed(seed)
    network = classifier()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    shows = source.labels("train")[:, column] > 0
    pools = [shows.nonzero().flatten(), (~shows).nonzero().flatten()]
    for _ in range(steps):
        rows = torch.cat([pool[torch.randint(len(pool), (batch // 2,))] for pool in pools]).tolist()
        sample = source.read("train", rows)
        image = to_range(sample["image"])
        image = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, image.flip(-1), image)
        image = torch.roll(image, (int(torch.randint(-3, 4, ())), int(torch.randint(-3, 4, ()))), (2, 3))
        image = image * (0.8 + 0.4 * torch.rand(batch, 1, 1, 1)) + 0.2 * torch.randn(batch, 1, 1, 1)
        loss = F.binary_cross_entropy_with_logits(network(image)[:, 0], sample["attributes"][:, column])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def measure(
    run: LoadedRun, source: Source, judge: nn.Module, column: int, split: Split, faces: int
) -> dict[str, float]:
    """Accuracy of the judge on held-out faces, success of edits both ways, mask area and change outside the mask."""
    name = source.attributes[column]
    seen: list[Tensor] = []
    own: list[Tensor] = []
    outcome: list[Tensor] = []
    changes, areas = [], []
    for first in range(0, faces, 50):
        sample = source.read(split, list(range(first, min(first + 50, faces))))
        image, label = to_range(sample["image"]), sample["attributes"][:, column]
        on, off = (run.editor.apply(image, wish(sample["attributes"], column, value)) for value in (1.0, 0.0))
        edited = torch.where(label[:, None, None, None] > 0, off.image, on.image)
        own.append(label)
        seen.append((judge(image)[:, 0] > 0).float())
        outcome.append((judge(edited)[:, 0] > 0).float())
        if on.mask is not None:
            outside = (on.mask < 0.1).float()
            changes.append(((edited - image).abs() * outside).sum() / (3 * outside.sum()).clamp(min=1))
            areas.append(on.mask.mean())
    labels, judged, after = torch.cat(own), torch.cat(seen), torch.cat(outcome)
    has, lacks = labels > 0, labels == 0
    figures = {
        "judge_recall": float(judged[has].mean()),
        "judge_specificity": float(1 - judged[lacks].mean()),
        "success_on": float(after[lacks].mean()),
        "success_off": float(1 - after[has].mean()),
        "faces_without": int(lacks.sum()),
        "faces_with": int(has.sum()),
    }
    if changes:
        figures |= {"outside_mask": float(torch.stack(changes).mean()), "mask": float(torch.stack(areas).mean())}
    return {"attribute": name, **figures}  # type: ignore[dict-item]


def wish(own: Tensor, column: int, value: float) -> dict[str, Tensor]:
    """Targets: the faces' own attributes with one column set."""
    target = own.clone()
    target[:, column] = value
    return {"attributes": target}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attribute")
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    run = load(options.run)
    source: Source = zoo().registry.build("source", run.config.data)
    column = source.attributes.index(options.attribute) if options.attribute else 0
    split: Split = "test" if source.size("test") else "valid"
    faces = min(options.faces, source.size(split))
    judge = fit(source, column, options.steps, options.seed)
    figures = {"run": options.run.name, **measure(run, source, judge, column, split, faces)}
    errors = edit_error(run.editor, source, split=split, faces=faces)
    if errors:
        figures |= {"truth": asdict(errors[column])}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
