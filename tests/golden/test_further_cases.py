"""Golden cases in a folder of their own, of sizes, configs and inputs that those here do not have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest
from official import Case, load_cases
from parts_cases import beside, parts_cases
from test_official_losses import test_trace as meets_the_trace
from test_official_networks import test_network as meets_the_network
from test_stargan_v2_losses import trainer_of

from zoogan.config.registry import Registry

HERE = Path(__file__).parent


def said(name: str) -> dict[str, Any]:
    """What a case of this folder says."""
    return json.loads((HERE / f"{name}.json").read_text())


def saved(folder: Path, name: str, says: dict[str, Any], **arrays: np.ndarray) -> Case:
    """A case in another folder, as `--cases` finds it."""
    (folder / f"{name}.json").write_text(json.dumps(says))
    if arrays:
        np.savez(folder / f"{name}.npz", **arrays)
    return next(case for case in load_cases([folder]) if case.name == name)


def test_loss_case_uses_networks_of_its_folder(tmp_path: Path) -> None:
    for kind in ("generator", "discriminator", "losses"):
        shutil.copy(HERE / f"semantic-stylegan-{kind}-s64p4.json", tmp_path / f"semantic-stylegan-{kind}-other.json")
    shutil.copy(HERE / "semantic-stylegan-losses-s64p4.json", tmp_path)
    other, same = parts_cases([tmp_path], "losses")
    for kind in ("generator", "discriminator"):
        assert beside(other, kind).folder == tmp_path and beside(same, kind).folder == HERE
    (tmp_path / "semantic-stylegan-generator-other.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no semantic-stylegan-generator-other\.json in .* nor in "):
        beside(other, "generator")


def test_a_style_case_of_other_sizes(registry: Registry) -> None:
    sizes = {"img_size": 128, "latent_dim": 5, "style_dim": 6, "max_conv_dim": 32, "num_domains": 3}
    says = said("stargan-v2-losses-64")
    networks = trainer_of(says | {"config": says["config"] | sizes}, registry, iter(()), 1).networks
    assert (networks["mapping"].latent_dim, networks["mapping"].style_dim) == (5, 6)
    assert networks["generator"].style_dim == networks["style_encoder"].style_dim == 6
    assert networks["style_encoder"].trunk.outputs == networks["discriminator"].trunk.outputs == 32
    assert max(p.shape[0] for p in networks["generator"].parameters() if p.dim() == 4) == 128  # the first is never cut


def test_inputs_that_no_formula_makes(tmp_path: Path, registry: Registry) -> None:
    """Images from the npz, labels as the json lists them."""
    (here,) = (case for case in load_cases([HERE]) if case.name == "stargan-generator-64-c3")
    inputs = here.says["inputs"]
    image = official.given(here, "x").double().numpy()
    inputs["x"] |= {"made": "stored in npz as input_x"}
    inputs["c"] |= {"values": here.arrays["input_c"].tolist()}
    stored = saved(tmp_path, "stargan-generator-other", here.says, y=here.arrays["y"], input_x=image)
    meets_the_network(stored, registry)
    with pytest.raises(ValueError, match="no rule for the input 'stored in npz as input_x'"):
        official.given(Case(stored.name, stored.says, {}), "x")


def test_a_trace_whose_generator_plays_every_second_iteration(tmp_path: Path, registry: Registry) -> None:
    """Terms before the generator's first update do not depend on the cadence.

    Later terms are close to the case, whose generator has moved once before.
    """
    says = said("stargan-losses-64-c3")
    d, later, g = ({k: v for k, v in says["trace"]["losses"][moment].items() if k.startswith(side)}
                   for moment, side in (("1", "D/"), ("2", "D/"), ("1", "G/")))  # fmt: skip
    says["config"] |= {"n_critic": 2}
    says["trace"]["losses"] = {"1": d, "2": later | g | {"D/loss_fake": -g["G/loss_fake"]}}
    says["rtol_trace"] = {"1": says["rtol_trace"], "2": 0.2}
    meets_the_trace(saved(tmp_path, "stargan-losses-other", says), registry)
