"""Golden cases of SemanticStyleGAN: from what a case says to our networks, through the importer."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fill
import numpy as np
import torch
from official import Case, placed
from torch import Tensor

from zoogan.importing.official import Imported
from zoogan_semantic_stylegan.weights import convert_semantic_stylegan

ATOL, ATOL_LOGITS = 5e-5, 1e-5  # of the cases' description, section 10
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
RENAMED = {"style_dim": "latent", "img_size": "size"}  # the constructors' names -> those of the arguments
SCALE = 1.732  # of latents, for a variance of 1


def parts_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases of SemanticStyleGAN's `generator`, `discriminator` or `losses`."""
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob("semantic-stylegan-*.json")):
        says = json.loads(path.read_text())
        if says["network"] == kind:
            beside = path.with_suffix(".npz")
            cases.append(Case(path.stem, says, dict(np.load(beside)) if beside.exists() else {}, path.parent))
    return cases


def beside(case: Case, kind: str) -> Case:
    """The case of the same size for another network: in the case's own folder, or else in this one.

    Raises:
        FileNotFoundError: in neither.
    """
    name = case.name.replace(f"-{case.says['network']}-", f"-{kind}-")
    folders = [case.folder, Path(__file__).parent]
    for found in (found for folder in folders for found in parts_cases([folder], kind)):
        if found.name == name:
            return found
    places = " nor in ".join(map(str, folders))
    raise FileNotFoundError(f"{case.name}: no {name}.json in {places}: a loss case has its weights from it")


def official_state(says: Mapping[str, Any]) -> dict[str, Tensor]:
    """The official state_dict of a generator or discriminator case, in float32."""
    blur = torch.outer(TAPS, TAPS) / 64 * (4 if says["network"] == "generator" else 1)
    empty = {row[0]: blur if row[2] == "kept" else torch.zeros(1).expand(row[1]) for row in says["keys"]}
    return fill.fill_from_table(empty, says["keys"])


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a case's config says in the official code's arguments; weights must agree with it."""
    said = {RENAMED.get(name, name): value for name, value in config.items()}
    count = config["seg_dim"]
    return said | ({"parts": [f"part {k}" for k in range(count)]} if count != 13 else {})


def imported(*cases: Case) -> Imported:
    """The cases' weights through the importer."""
    states = {case.says["network"]: official_state(case.says) for case in cases}
    said = {name: value for case in cases for name, value in arguments(case.says["config"]).items()}
    return convert_semantic_stylegan(states, said, torch.zeros(said.get("latent", 1)))


def latent(name: str, *shape: int) -> Tensor:
    """Noise, or latents, as the cases make them."""
    return placed(SCALE * fill.named_tensor(name, shape))


def faces_of(config: Mapping[str, Any], batch: int) -> tuple[Tensor, Tensor]:
    """Images, and the classes of their pixels, of a discriminator case."""
    size, classes = config["img_size"], config["seg_dim"]
    shape = (batch, config["img_dim"], size, size)
    image = 0.5 * fill.named_tensor("img", shape) + 0.5 * fill.wave_tensor("img", shape)
    n = batch * size * size
    wave = np.sin(0.1234567 * (np.arange(n, dtype=np.float64) + 1.0) + zlib.crc32(b"seg_labels") % 1000)
    label = np.clip(np.floor((wave + 1) / 2 * classes), 0, classes - 1).astype(np.uint8)
    return placed(image), placed(torch.from_numpy(label.reshape(batch, size, size)))


def check_output(name: str, got: Tensor, case: Case, atol: float = ATOL) -> float:
    """Elements against the stored ones, and mean, deviation and a random projection of all. Returns the worst."""
    want, got = case.says["outputs"][name], got.cpu()
    assert list(got.shape) == want["shape"], name
    value = got.double().flatten()
    stored = torch.from_numpy(case.arrays[name]).double().flatten()
    view = value[:: want["flat_stride"]]
    assert len(view) == len(stored) == want["stored"], name
    worst = float((view - stored).abs().max())
    print(f"{case.name} {name}: worst |ours - official| {worst:.2e}, allowed {atol:.0e}")
    assert worst <= atol, f"{name}: differs by {worst} from the official output, allowed {atol}"
    n = value.numel()
    projection = float((value * torch.from_numpy(fill._hash("proj", n))).mean())
    found = {"mean": float(value.mean()), "std": float(value.std()), "proj": projection}
    for kind, number in found.items():
        assert abs(number - want[kind]) <= atol / 5, f"{name}: {kind} is {number}, official {want[kind]}"
    return worst
