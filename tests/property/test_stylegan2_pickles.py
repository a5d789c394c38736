"""Official StyleGAN2 weights in pickles: nothing is executed, and a person is told how to export them."""

from __future__ import annotations

import argparse
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.stylegan2_weights import assert_same_outputs, make_networks, make_official_states, rebuild_networks
from zoogan.errors import ConfigError
from zoogan_stylegan2.layouts import NvlabsLayout, RosinalityLayout
from zoogan_stylegan2.weights import import_stylegan2


class Harmful:
    """What a pickle can do."""

    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_pickled_weights_are_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stylegan2-ffhq-config-f.pkl").write_bytes(pickle.dumps(Harmful()))
    export = re.escape("python -c \"import pickle, torch; n = pickle.load(open('stylegan2-ffhq-config-f.pkl', 'rb'))")
    with pytest.raises(ConfigError, match=rf"executes the code in it.*at your own risk.*{export}"):
        import_stylegan2([tmp_path / "stylegan2-ffhq-config-f.pkl"], {})
    state = make_official_states(RosinalityLayout(), make_networks())["generator"]
    torch.save({"g_ema": state, "args": Harmful()}, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="without executing code"):
        import_stylegan2([tmp_path / "a.pt"], {})
    torch.save({"g_ema": state, "args": argparse.Namespace(path=Harmful())}, tmp_path / "b.pt")
    with pytest.raises(ConfigError, match="without executing code"):
        import_stylegan2([tmp_path / "b.pt"], {})
    assert "executed" not in capsys.readouterr().out


class Pickled:
    """Stands in for an official network, whose pickle brings its code along."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Tensor]:
        return self.state


def test_suggested_export_line_is_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = make_official_states(NvlabsLayout(), make_networks())
    content = {"G_ema": Pickled(states["generator"]), "D": Pickled(states["discriminator"])}
    (tmp_path / "n.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ConfigError) as refused:
        import_stylegan2([tmp_path / "n.pkl"], {})
    line = re.search(r'python -c "(.+?)"', str(refused.value))
    assert line is not None
    monkeypatch.chdir(tmp_path)
    exec(line[1], {})
    assert_same_outputs(rebuild_networks(import_stylegan2([tmp_path / "n.pt"], {})), make_networks())
