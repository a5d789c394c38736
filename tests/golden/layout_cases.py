"""Golden cases of SMILE's layout stage: from what a case says to our networks, through the importer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fill
import numpy as np
import torch
from official import Case, placed
from torch import Tensor, nn

from zoogan.conditions.pairs import make_pairs
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.importing.official import Imported
from zoogan_smile.weights import convert_smile_layout

SLOTS = {"G": "generator", "F": "mapping", "S": "style_encoder", "D": "discriminator"}
"""Official letter of a network -> our slot."""
CASES = {"generator": "G", "mapping": "F", "style-encoder": "S", "discriminator": "D"}
"""What a case's name says of its network -> its official letter."""
ROLES = {
    "generator": "style_translator", "mapping": "style_mapping",
    "style_encoder": "style_encoder", "discriminator": "style_discriminator",
}  # fmt: skip
SHOWN = {"Male": 0, "Eyeglasses": 1, "Bald": 0, "Bangs": 1, "Wearing_Earrings": 1, "Wearing_Hat": 1}
"""Attribute of the official code, in its order -> the column of its pair that shows it (datasets/CelebA_HQ.py)."""
PARTS = 19  # channels of every map of the cases, whatever classes it shows


def layout_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases of the layout stage: `network`, `losses`, or `keys` (names and shapes alone)."""
    pattern = "smile-layout-*.json" if kind == "keys" else "smile-sem-*.json"
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob(pattern)):
        says = json.loads(path.read_text())
        if kind == "keys" or ("losses" in says) == (kind == "losses"):
            beside = path.with_suffix(".npz")
            cases.append(Case(path.stem, says, dict(np.load(beside)) if beside.exists() else {}))
    return cases


def letter_of(case: Case) -> str:
    """Official letter of the network of a case.

    Raises:
        KeyError: another network.
    """
    name = case.says["case"].removeprefix("smile-sem-")
    return CASES[next((known for known in CASES if name.startswith(known)), name)]


# ---- inputs ----


def names(count: int) -> list[str]:
    """The first attributes of the official code, and then further ones."""
    return [*SHOWN, *(f"Attribute_{k}" for k in range(len(SHOWN), count))][:count]


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """A case's config as the importer's settings, with names."""
    return {**config, "attributes": names(config["num_domains"])}


def filled(table: list[list[Any]]) -> dict[str, Tensor]:
    """The official state_dict with a case's values, in float32; only filters, which the importer drops, are kept."""
    kept = {row[0] for row in table if row[2] == "kept"}
    odd = [key for key in kept if not key.endswith(("kernel", "hpf.filter"))]
    assert not odd, f"no rule for the kept tensors {odd}"
    kernel = -torch.ones(3, 3)
    kernel[1, 1] = 8
    state = {row[0]: kernel if row[0].endswith("hpf.filter") else torch.zeros(row[1]) for row in table}
    return fill.fill_from_table(state, table)


def sizes(text: str) -> tuple[int, ...]:
    """`2,64,64` as numbers."""
    return tuple(int(number) for number in text.split(",") if number.strip())


def layout(recipe: str) -> Tensor:
    """The one-hot maps of `onehot_sem(2,64,64) K=19`, in float64.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(r"onehot_sem\(([\d,]+)\) K=(\d+)", recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    (n, h, w), classes = sizes(found[1]), int(found[2])
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    label = torch.stack([(5 * x // w + 4 * (5 * y // h) + k) % classes for k in range(n)])
    return placed(nn.functional.one_hot(label, PARTS).permute(0, 3, 1, 2).double())


def labels(recipe: str, n: int) -> Tensor:
    """Our labels (n, a) of `attr12 B=2 A=6 shift=0`, whose official pairs begin with either domain, in float64.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(r"attr12(?: B=(\d+))? A=(\d+) shift=(\d+)", recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    assert found[1] in (None, str(n))
    columns = [[(b + k + int(found[3])) % 2 for k in range(int(found[2]))] for b in range(n)]
    shown = [SHOWN.get(name, 1) for name in names(int(found[2]))]
    return placed(torch.tensor([[column == own for column, own in zip(row, shown, strict=True)] for row in columns])
                  .double())  # fmt: skip


def tensor(recipe: str) -> Tensor:
    """`named_tensor('s',(2,6,64)) ...` in float64.

    Raises:
        ValueError: another description.
    """
    found = re.match(r"named_tensor\('([^']+)', ?\(([\d, ]+)\)\)", recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    return placed(fill.named_tensor(found[1], sizes(found[2])).double())


def heat_maps(recipe: str, n: int, side: int) -> tuple[Tensor, Tensor]:
    """`(heat('fan0'), heat('fan1')) each (2,1,64,64)`, of the pictures' size if it names none, in float64.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(r"\(heat\('([^']+)'\), ?heat\('([^']+)'\)\)(?: each \(([\d, ]+)\))?", recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    shape = sizes(found[3]) if found[3] else (n, 1, side, side)
    one, two = (placed(0.5 * fill.named_tensor(found[k], shape).double() + 0.5) for k in (1, 2))
    return one, two


def pairs(recipe: str, n: int) -> Tensor:
    """Our pairs of domains (n, 2a) of an official label vector."""
    return make_pairs(labels(recipe, n))


# ---- networks ----


def built(result: Imported, slot: str, registry: Registry) -> nn.Module:
    """Our network as the importer describes it, with the imported weights, in float64."""
    network = described(result, slot, registry)
    network.load_state_dict(result.networks[slot], strict=True)
    return placed(network.eval().double())


def described(result: Imported, slot: str, registry: Registry) -> nn.Module:
    """Our network as the importer describes it, with weights of its own."""
    layer, data = result.config[slot], result.config["data"]
    config = registry.components[ROLES[slot], layer["use"]].config.model_validate(layer)
    size = data.get("image_size", 64)
    parts = result.facts["parts"]
    facts = Facts(image_size=size, channels=len(parts), attributes=tuple(data["attributes"]), **result.facts)
    network: nn.Module = registry.build(ROLES[slot], config, facts)
    return network


def imported(says: Mapping[str, Any], tables: Mapping[str, list[list[Any]]]) -> Imported:
    """A case's weights through the importer. tables: by official letter."""
    return convert_smile_layout(
        {SLOTS[letter]: filled(table) for letter, table in tables.items()}, settings_of(says["config"])
    )


def count_unused(table: list[list[Any]], result: Imported) -> int:
    """Weights of decoder shortcuts that the official generator has and never uses where heat maps keep details."""
    if not result.config["generator"]["high_pass"]:
        return 0
    unused = [row for row in table if re.fullmatch(r"decode\.\d+\.conv1x1\.weight", row[0])]
    return sum(int(torch.Size(row[1]).numel()) for row in unused)


def check_output(name: str, got: Tensor, case: Case) -> None:
    """Elements against the stored ones, and mean, deviation, extremes and norm of the whole."""
    want, got = case.says["outputs"][name], got.detach().cpu()
    found = re.fullmatch(r"full|\[\.\.\., ::(\d+), ::(\d+)\]", want["stored"])
    assert found is not None, f"no rule for the storage {want['stored']!r}"
    rows, columns = (int(step or 1) for step in found.groups())
    view, stored = got[..., ::rows, ::columns] if found[1] else got, torch.from_numpy(case.arrays[f"out_{name}"])
    assert list(got.shape) == want["shape"] and view.shape == stored.shape, name
    assert "rtol 1e-5, atol 1e-5*std" in case.says["compare"]
    rtol, atol = 1e-5, 1e-5 * want["std"]
    worst = float((view - stored).abs().max())
    print(f"{case.name} {name}: worst {worst:.2e} of {want['std']:.2e}")
    assert torch.allclose(view, stored.double(), rtol=rtol, atol=atol), f"{name}: differs by {worst}"
    summary = {
        "mean": got.mean(), "std": got.std(unbiased=False), "min": got.min(), "max": got.max(), "l2": got.norm(),
    }  # fmt: skip
    for kind, value in summary.items():
        assert abs(float(value) - want[kind]) <= atol + rtol * abs(want[kind]), f"{name}: {kind} is {float(value)}"
