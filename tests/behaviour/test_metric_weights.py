"""The networks that set metrics and LPIPS look with: their files, and what is said when there are none."""

from __future__ import annotations

import builtins
import hashlib
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from support.set_metrics import NoiseSource, make_study
from zoogan.auxiliary import inception, lpips, squeezenet
from zoogan.auxiliary import weight_files as weights
from zoogan.evaluation.metrics.frechet import FrechetInception, FrechetSqueezeNet
from zoogan.evaluation.metrics.kernel import KernelInception
from zoogan.evaluation.metrics.lpips import Lpips
from zoogan.interfaces import Unavailable, World


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights, and no network."""
    monkeypatch.setenv("ZOOGAN_METRIC_WEIGHTS", str(tmp_path / "weights"))

    def refuse(*given: Any, **options: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "weights"


# ---- weights ----


@pytest.mark.parametrize(
    "metric, file",
    [
        (FrechetSqueezeNet(FrechetSqueezeNet.Config()), "squeezenet1_1_caffe.npz"),
        (FrechetInception(FrechetInception.Config(download=False)), "weights-inception-2015-12-05-6726825d.pth"),
        (KernelInception(KernelInception.Config()), "weights-inception-2015-12-05-6726825d.pth"),
        (Lpips(Lpips.Config(trunk="vgg")), "vgg16-397923af.pth"),
    ],
)
def test_missing_metric_weights_give_advice(metric: Any, file: str, no_weights: Path, tmp_path: Path) -> None:
    """Also offline, where the download fails."""
    pytest.importorskip("lpips"), pytest.importorskip("torch_fidelity")
    source = NoiseSource()
    source.image_size = 32
    with pytest.raises(Unavailable) as caught:
        metric.start(make_study(source, tmp_path))
    for words in (file, str(no_weights), "ZOOGAN_METRIC_WEIGHTS", ".weights=PATH"):
        assert words in str(caught.value)


def test_wrong_metric_weights_are_refused(no_weights: Path, tmp_path: Path) -> None:
    no_weights.mkdir()
    (no_weights / squeezenet.SQUEEZENET_WEIGHTS.name).write_bytes(b"something else")
    wrong = hashlib.sha256(b"something else").hexdigest()[:12]
    for config in (
        FrechetSqueezeNet.Config(),
        FrechetSqueezeNet.Config(weights=no_weights / squeezenet.SQUEEZENET_WEIGHTS.name),
    ):
        with pytest.raises(Unavailable, match=rf"not the SqueezeNet 1.1 .* sha256 {wrong}... instead of 22d989bac136"):
            FrechetSqueezeNet(config).start(make_study(NoiseSource(), tmp_path))


def test_downloaded_weights_are_used(no_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"the weights"
    file = weights.WeightFile(
        "network.pth", hashlib.sha256(content).hexdigest(), "a network's", url="https://host/network.pth"
    )

    def download(url: str, path: str, hash_prefix: str) -> None:
        assert (url, hash_prefix) == (file.url, file.sha256)
        Path(path).write_bytes(content)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    found = weights.find_weight_file(file, None, "fid", World.make_single(), download=True)
    assert found == no_weights / "network.pth" and found.read_bytes() == content


@pytest.mark.parametrize(
    "package, metric",
    [("torch_fidelity", FrechetInception(FrechetInception.Config())), ("lpips", Lpips(Lpips.Config()))],
)
def test_missing_library_names_the_extra(
    package: str, metric: Any, no_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *given: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    source = NoiseSource()
    source.image_size = 32
    with pytest.raises(Unavailable, match=r"zoogan\[evaluate\]"):
        metric.start(make_study(source, tmp_path))


# ---- the networks themselves, with weights that are not the real ones ----


def test_squeezenet_loads_weights_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(3)
    reference = squeezenet1_1(weights=None).eval()
    path = tmp_path / "weights.npz"
    np.savez(path, **{name: value.numpy() for name, value in reference.state_dict().items()})
    before = torch.get_rng_state()
    network = squeezenet.SqueezeNet(path, torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state())
    image = torch.rand(2, 3, squeezenet.SQUEEZENET_SIDE, squeezenet.SQUEEZENET_SIDE) * 2 - 1
    pixels = (image + 1) * 127.5
    blue_first = pixels[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    expected = reference.features(blue_first).mean((2, 3))
    torch.testing.assert_close(network(image), expected)
    np.savez(path, **{"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with pytest.raises(Unavailable, match="not the SqueezeNet"):
        squeezenet.SqueezeNet(path, torch.device("cpu"))
    np.savez(path, np.array([object()]))  # only a pickle can hold this one
    with pytest.raises(Unavailable, match="not the SqueezeNet"):
        squeezenet.SqueezeNet(path, torch.device("cpu"))


@pytest.mark.slow
def test_inception_equals_torch_fidelity(tmp_path: Path) -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path / "inception.pth"
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *given, **options: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *given, **options: None)
        state = module.FeatureExtractorInceptionV3("x", ["2048"]).state_dict()
    generator = torch.Generator().manual_seed(0)
    filled = {
        name: torch.rand(value.shape, generator=generator) * 0.1 if value.is_floating_point() else torch.tensor(0)
        for name, value in state.items()
    }
    torch.save(filled, path)
    before = torch.get_rng_state()
    network = inception.Inception(path, torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state())
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    levels = ((image + 1) * 127.5).round().to(torch.uint8)
    theirs = module.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))(levels)[0]
    found = network(image)
    assert found.shape == (1, network.dimensions) and torch.equal(found, theirs)
    path.write_bytes(b"no weights")
    with pytest.raises(Unavailable, match="without executing code"):
        inception.Inception(path, torch.device("cpu"))


def test_lpips_loads_torchvision_trunk(tmp_path: Path) -> None:
    pytest.importorskip("lpips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        from torchvision.models import squeezenet1_1

        trunk = squeezenet1_1(weights=None)
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    before = torch.get_rng_state()
    network = lpips.open_lpips("squeeze", tmp_path / "trunk.pth", torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in network.net.state_dict().items():
        assert torch.equal(value, trunk.state_dict()["features." + name.split(".", 1)[1]])
    first, second = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    between = network(first, second).flatten()
    assert between.shape == (2,) and bool((between > 0).all())
    with pytest.raises(Unavailable, match="lack features"):
        lpips.load_trunk(network, {})
