"""SMILE's official files of both stages become one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoogan
from support.smile_image_files import make_image_facts, make_image_networks, write_official_image_file
from support.smile_networks import make_facts, make_networks
from support.staged_runs import read_states
from zoogan.cli import main
from zoogan.errors import ConfigError, NotFinite
from zoogan_smile.networks import SmileDiscriminator
from zoogan_smile.weights import ATTRIBUTES, PARTS, get_official_name


def write_layout_file(path: Path, slot: str, network: nn.Module) -> Path:
    """Write a network of the layout stage as the official training does."""
    assert not isinstance(network, SmileDiscriminator)
    state = network.state_dict()
    torch.save({get_official_name(slot, key, network, ATTRIBUTES): value for key, value in state.items()}, path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The four official files of 32 px."""
    networks = make_networks(0, make_facts(32))
    letters = {"generator": "G", "mapping": "F", "style_encoder": "S"}
    paths = [write_layout_file(tmp_path / f"smileSEM_{k}_ema.pth", slot, networks[slot]) for slot, k in letters.items()]
    return [*paths, write_official_image_file(tmp_path / "smileSYN.pth", make_image_networks(0, make_image_facts()))]


def test_four_official_files_make_a_run_of_the_whole_method(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "official"
    options = [part for file in reversed(files) for part in ("--weights", str(file))]
    assert main(["import", "smile", *options, "--stage", "parser=none", "--out", str(out)]) == 0
    run: Any = zoogan.load(out)
    layout = run.stages["layout"]
    assert run.facts.image_size == layout.facts.image_size == 32 and run.facts.parts == layout.facts.parts == PARTS
    assert run.facts.attributes == layout.facts.attributes == ATTRIBUTES
    assert list(read_states(out)) == ["layout"] and read_states(out)["layout"]["state"] == "given"
    assert run.config.stages.layout.set["generator"]["style_dim"] == layout.config.generator.style_dim
    blend = torch.load(files[3], weights_only=True)["g_ema"]["conv1.conv.blending_gamma"]
    assert torch.equal(run.networks["generator"].state_dict()["first.conv.blend"], blend)


def test_files_of_other_faces_are_refused(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "official"
    networks = make_image_networks(0, make_image_facts(parts=5))
    write_official_image_file(files[3], networks)
    with pytest.raises(ConfigError, match="know 5 parts, but 19 are named"):
        zoogan.import_weights("smile", files, out=out)
    write_official_image_file(files[3], make_image_networks(0, make_image_facts(64)))
    with pytest.raises(ConfigError, match=r"stages.layout: .*\n.*32 in the run"):
        zoogan.import_weights("smile", files, out=out)
    with pytest.raises(ConfigError, match="missing: the mapping of stage layout"):
        zoogan.import_weights("smile", [files[0], files[2], files[3]], out=out)
    networks = make_image_networks(0, make_image_facts())
    next(networks["generator"].parameters()).data.fill_(float("nan"))
    write_official_image_file(files[3], networks)
    with pytest.raises(NotFinite, match="--weights: the generator: not finite"):
        zoogan.import_weights("smile", files, out=out)
    assert not out.exists()
