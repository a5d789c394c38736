"""The set metrics and LPIPS as a study uses them: protocol, cache, processes, and what they say when they cannot."""

from __future__ import annotations

import builtins
import hashlib
import math
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distribution_kit import Filters, Lens, Noise, edits_of, in_two_processes, keep, measured, study_of
from zoogan.evaluation import inception, perceptual, squeezenet, weights
from zoogan.evaluation.distribution_config import (
    FdSqueezenetConfig,
    FidConfig,
    KdSqueezenetConfig,
    KidConfig,
    LpipsConfig,
    PrdcSqueezenetConfig,
)  # fmt: skip
from zoogan.evaluation.frechet import Frechet, Moments, frechet
from zoogan.evaluation.kernel import KernelDistance
from zoogan.evaluation.manifold import Manifold
from zoogan.evaluation.perceptual import Perceptual
from zoogan.evaluation.reals import real_faces
from zoogan.interfaces import Metric, Seed, Source, Unavailable, World
from zoogan.interfaces.metric import seeds_of
from zoogan.plugins import zoo

BATCHES = [range(50), range(50, 80)]
SETS: dict[str, Any] = {
    "fd_squeezenet": (Frechet, FdSqueezenetConfig),
    "kd_squeezenet": (KernelDistance, KdSqueezenetConfig),
    "prdc_squeezenet": (Manifold, PrdcSqueezenetConfig),
}


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights, and no network."""
    monkeypatch.setenv("ZOOGAN_METRIC_WEIGHTS", str(tmp_path / "weights"))

    def refuse(*given: Any, **options: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "weights"


def built(name: str, **options: Any) -> Any:
    metric, config = SETS[name]
    return metric(config(**options), features=Filters())


# ---- the protocol ----


def test_all_are_registered_and_built_from_their_configs() -> None:
    registry = zoo().registry
    for name in (*SETS, "fid", "kid", "lpips"):
        metric = registry.build("metric", registry.components["metric", name].config())
        assert isinstance(metric, Metric) and metric.title


def test_edits_are_held_against_train_faces_with_the_wished_labels(tmp_path: Path) -> None:
    source, network = Noise(), Filters()
    (measure,) = measured(built("fd_squeezenet"), study_of(source, tmp_path), Lens(keep), BATCHES)
    test, train = (source.read(split, range(source.size(split))) for split in ("test", "train"))
    chosen = real_faces(source, "A", test["attributes"][:, 0] < 0.5, seed=0)  # a flip wants what the face lacks
    expected = frechet(
        Moments.of(network(test["image"].float() / 127.5 - 1)),
        Moments.of(network(train["image"][list(chosen.indices)].float() / 127.5 - 1)),
    )
    assert (measure.name, measure.attribute, measure.better) == ("fd_squeezenet", "A", "lower")
    assert measure.statistic.value() == pytest.approx(expected, rel=1e-6)
    assert measure.statistic.faces() == 80
    assert (measure.backbone, measure.weights, measure.resizer) == ("filters", "0" * 64, "none")
    assert measure.note.startswith(f"80 edits, {len(chosen.indices)} train faces (set ")


def test_the_floor_is_told_where_the_split_allows_it(tmp_path: Path) -> None:
    notes = [
        measured(built("fd_squeezenet", floor=floor), study_of(Noise(train), tmp_path), Lens(keep), BATCHES)[0].note
        for train, floor in ((900, True), (900, False), (120, True))
    ]
    assert ["other real faces" in note for note in notes] == [True, False, False]


@pytest.mark.parametrize("name", SETS)
def test_batches_do_not_show(name: str, tmp_path: Path) -> None:
    study, split = study_of(Noise(), tmp_path), [range(60, 80), range(7), range(7, 60)]
    whole, parts = (measured(built(name), study, Lens(keep), batches) for batches in (BATCHES, split))
    assert [m.name for m in whole] == [m.name for m in parts]
    for one, two in zip(whole, parts):
        assert one.statistic.value() == pytest.approx(two.statistic.value(), rel=1e-6), one.name


def test_a_better_editor_is_nearer(tmp_path: Path) -> None:
    """A makes faces brighter: an editor that knows that beats one that does nothing, and any beats grey."""

    def right(image: Tensor, target: Tensor, seed: int) -> Tensor:
        bright = image.mean((1, 2, 3), keepdim=True) > 0
        wish = target[:, :1, None, None] > 0.5
        return (image + 0.6 * (wish.float() - bright.float())).clamp(-1, 1)

    editors = [Lens(right), Lens(keep), Lens(lambda image, target, seed: torch.zeros_like(image))]
    for name, end in (("fd_squeezenet", ""), ("kd_squeezenet", "")):
        values = []
        for editor in editors:
            found = measured(built(name), study_of(Noise(900), tmp_path), editor, BATCHES)
            values.append(next(m.statistic.value() for m in found if m.name == name + end))
        assert values == sorted(values), name


def test_three_metrics_look_at_an_edit_once(tmp_path: Path) -> None:
    calls = []

    class Counted(Filters):
        def extract(self, image: Tensor) -> Tensor:
            calls.append(len(image))
            return super().extract(image)

    source, network = Noise(), Counted()
    metrics = [metric(config(), features=network) for metric, config in SETS.values()]
    edits = edits_of(source, Lens(keep), "A", range(10))
    for metric in metrics:
        metric.start(study_of(source, tmp_path))
        metric.update(edits)
    assert calls == [10]


# ---- the cache ----


def test_real_features_are_read_once_for_all_metrics_and_runs(tmp_path: Path) -> None:
    def run(source: Noise, **options: Any) -> tuple[float, str]:
        (measure,) = measured(built("fd_squeezenet"), study_of(source, tmp_path, **options), Lens(keep), BATCHES)
        return measure.statistic.value(), measure.note

    first, second, other = Noise(), Noise(), Noise()
    assert run(first) == run(second), "also the note, with its hash of the real pictures"
    assert first.read_faces > 80
    assert second.read_faces == 80, "only the faces that are edited"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    measured(built("kd_squeezenet"), study_of(second, tmp_path), Lens(keep), BATCHES)
    assert second.read_faces == 160, "another metric looks at the same real faces"
    assert run(other, seed=1) != run(first)
    assert other.read_faces > 80, "another seed means other faces"


def test_a_damaged_cache_is_computed_again(tmp_path: Path) -> None:
    (before,) = measured(built("kd_squeezenet"), study_of(Noise(), tmp_path), Lens(keep), BATCHES)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    (after,) = measured(built("kd_squeezenet"), study_of(Noise(), tmp_path), Lens(keep), BATCHES)
    assert before.statistic.value() == after.statistic.value()


def test_nothing_is_kept_of_faces_that_cannot_be_told_from_others(tmp_path: Path) -> None:
    class Nameless(Noise):
        fingerprint = Source.fingerprint  # it has neither files nor a config to be told by

    for source in (Nameless(), Nameless()):
        measured(built("fd_squeezenet"), study_of(source, tmp_path), Lens(keep), BATCHES)
        assert source.read_faces > 80, "computed anew"
    assert not list(tmp_path.rglob("*.safetensors"))


# ---- too few ----


@pytest.mark.parametrize("name", SETS)
def test_too_few_images(name: str, tmp_path: Path) -> None:
    for source in (Noise(train=49), Noise(test=49)):
        with pytest.raises(Unavailable, match=rf"too few images: 49 t\w+ faces, 50 needed \({name}.minimum\)"):
            built(name).start(study_of(source, tmp_path))
    for found in measured(built(name), study_of(Noise(), tmp_path), Lens(keep), [range(12)]):
        assert math.isnan(found.statistic.value()) and found.note.startswith("12 edits, 12 train faces; too few images")
    few = Noise(share=0.01)  # hardly a face has the attribute, and nearly every edit wants it
    assert all("too few images" in m.note for m in measured(built(name), study_of(few, tmp_path), Lens(keep), BATCHES))
    small = {"minimum": 2}
    assert measured(built(name, **small), study_of(Noise(), tmp_path), Lens(keep), [range(4)])


@pytest.mark.parametrize("name", SETS)
def test_attributes_that_nobody_edited_have_no_number(name: str, tmp_path: Path) -> None:
    assert measured(built(name), study_of(Noise(), tmp_path), Lens(keep), []) == []
    found = measured(built(name), study_of(Noise(), tmp_path), Lens(keep), BATCHES, "B")
    assert {m.attribute for m in found} == {"B"}


# ---- processes ----


@pytest.mark.parametrize("name", [*SETS, "lpips"])
def test_two_processes_say_what_one_says(name: str, tmp_path: Path) -> None:
    def build() -> Any:
        return Perceptual(LpipsConfig(), distance=Difference()) if name == "lpips" else built(name)

    source = Noise()
    source.image_size = 32 if name == "lpips" else 16
    alone = measured(build(), study_of(source, tmp_path / "one"), Lens(keep), BATCHES)

    def work(rank: int, world: World) -> Any:
        study = study_of(source, tmp_path / "two", world=world)
        return measured(build(), study, Lens(keep), [range(rank, 80, 2)])

    found = in_two_processes(work)
    for rank in range(2):
        assert [m.name for m in found[rank]] == [m.name for m in alone]
        for one, two in zip(alone, found[rank]):
            assert one.statistic.value() == pytest.approx(two.statistic.value(), rel=1e-9, abs=1e-12)
            assert sorted(one.statistic.face.tolist()) == sorted(two.statistic.face.tolist())


# ---- weights ----


@pytest.mark.parametrize(
    "metric, file",
    [
        (Frechet(FdSqueezenetConfig()), "squeezenet1_1_caffe.npz"),
        (Frechet(FidConfig(download=False)), "weights-inception-2015-12-05-6726825d.pth"),
        (KernelDistance(KidConfig()), "weights-inception-2015-12-05-6726825d.pth"),
        (Perceptual(LpipsConfig(trunk="vgg")), "vgg16-397923af.pth"),
    ],
)
def test_missing_weights_say_what_to_do(metric: Any, file: str, no_weights: Path, tmp_path: Path) -> None:
    """Also offline, where the download fails."""
    pytest.importorskip("lpips"), pytest.importorskip("torch_fidelity")
    source = Noise()
    source.image_size = 32
    with pytest.raises(Unavailable) as caught:
        metric.start(study_of(source, tmp_path))
    for words in (file, str(no_weights), "ZOOGAN_METRIC_WEIGHTS", ".weights=PATH"):
        assert words in str(caught.value)


def test_other_weights_are_refused(no_weights: Path, tmp_path: Path) -> None:
    no_weights.mkdir()
    (no_weights / squeezenet.WEIGHTS.name).write_bytes(b"something else")
    wrong = hashlib.sha256(b"something else").hexdigest()[:12]
    for config in (FdSqueezenetConfig(), FdSqueezenetConfig(weights=no_weights / squeezenet.WEIGHTS.name)):
        with pytest.raises(Unavailable, match=rf"not the SqueezeNet 1.1 .* sha256 {wrong}... instead of 22d989bac136"):
            Frechet(config).start(study_of(Noise(), tmp_path))


def test_a_download_is_used(no_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"the weights"
    file = weights.WeightFile("net.pth", hashlib.sha256(content).hexdigest(), "a network's", url="https://host/net.pth")

    def download(url: str, path: str, hash_prefix: str) -> None:
        assert (url, hash_prefix) == (file.url, file.sha256)
        Path(path).write_bytes(content)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    found = weights.located(file, None, "fid", World.alone(), download=True)
    assert found == no_weights / "net.pth" and found.read_bytes() == content


@pytest.mark.parametrize(
    "package, metric", [("torch_fidelity", Frechet(FidConfig())), ("lpips", Perceptual(LpipsConfig()))]
)
def test_a_missing_library_names_the_extra(
    package: str, metric: Any, no_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *given: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    source = Noise()
    source.image_size = 32
    with pytest.raises(Unavailable, match=r"zoogan\[evaluate\]"):
        metric.start(study_of(source, tmp_path))


# ---- the networks themselves, with weights that are not the real ones ----


def test_squeezenet_reads_an_npz_strictly_and_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(3)
    reference = squeezenet1_1(weights=None).eval()
    path = tmp_path / "weights.npz"
    np.savez(path, **{name: value.numpy() for name, value in reference.state_dict().items()})
    before = torch.get_rng_state()
    network = squeezenet.SqueezeNet(path, torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state())
    image = torch.rand(2, 3, squeezenet.SIDE, squeezenet.SIDE) * 2 - 1
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


def test_inception_is_torch_fidelitys_on_bytes(tmp_path: Path) -> None:
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


def test_lpips_takes_torchvisions_trunk(tmp_path: Path) -> None:
    pytest.importorskip("lpips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        from torchvision.models import squeezenet1_1

        trunk = squeezenet1_1(weights=None)
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    before = torch.get_rng_state()
    network = perceptual.opened("squeeze", tmp_path / "trunk.pth", torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in network.net.state_dict().items():
        assert torch.equal(value, trunk.state_dict()["features." + name.split(".", 1)[1]])
    first, second = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    between = network(first, second).flatten()
    assert between.shape == (2,) and bool((between > 0).all())
    with pytest.raises(Unavailable, match="lack features"):
        perceptual.put_trunk(network, {})


# ---- LPIPS ----


class Difference(nn.Module):
    """Stands in for LPIPS: the mean absolute difference."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).abs().mean((1, 2, 3), keepdim=True)


def test_lpips_measures_what_comes_back_and_what_seeds_change(tmp_path: Path) -> None:
    def amounts(seed: Seed) -> Tensor:
        seeds = [seed] if isinstance(seed, int) else seed
        return torch.tensor([one % 3 * 0.1 for one in seeds])

    def darker(image: Tensor, target: Tensor, seed: Seed) -> Tensor:
        return image * 0.5 + amounts(seed).view(-1, 1, 1, 1)

    source = Noise()
    source.image_size = 32
    found = measured(
        Perceptual(LpipsConfig(draws=3), distance=Difference()),
        study_of(source, tmp_path), Lens(darker), BATCHES, "A", "B",
    )  # fmt: skip
    by_name = {(m.name, m.attribute): m for m in found}
    assert set(by_name) == {
        ("lpips.kept", None), ("lpips.cycled", None), ("lpips.diversity", None),
        ("lpips.cycled", "A"), ("lpips.cycled", "B"), ("lpips.diversity", "A"), ("lpips.diversity", "B"),
    }  # fmt: skip
    values = {name: m.statistic.value() for name, m in by_name.items()}
    image = source.read("test", range(80))["image"].float() / 127.5 - 1
    added = amounts(seeds_of(0, torch.arange(80))).view(-1, 1, 1, 1)
    edited = (0.5 * image + added).clamp(-1, 1)
    cycled = (0.5 * edited + added).clamp(-1, 1)
    assert values["lpips.kept", None] == pytest.approx(float((edited - image).abs().mean()), rel=0.02)
    assert values["lpips.cycled", "A"] == pytest.approx(float((cycled - image).abs().mean()), rel=0.02)
    drawn = torch.stack([amounts(seeds_of(seed, torch.arange(80))) for seed in range(3)])
    apart = [(drawn[i] - drawn[j]).abs().mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert values["lpips.diversity", "B"] == pytest.approx(float(sum(apart)) / 3, rel=0.02)
    assert values["lpips.cycled", None] == pytest.approx(values["lpips.cycled", "B"])
    assert by_name["lpips.kept", None].statistic.faces() == 80
    assert len(by_name["lpips.kept", None].statistic.face) == 80, "once for each face, not for each attribute"
    still = measured(Perceptual(LpipsConfig(), distance=Difference()), study_of(source, tmp_path), Lens(keep), BATCHES)
    assert {m.statistic.value() for m in still} == {0.0}


def test_lpips_says_when_faces_are_too_small(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="32 pixels or more, these have 16"):
        Perceptual(LpipsConfig(), distance=Difference()).start(study_of(Noise(), tmp_path))
