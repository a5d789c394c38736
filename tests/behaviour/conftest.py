"""Fixtures of the behaviour tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

import zoogan
from support.generated_faces import liven, train_faces
from support.part_runs import Says, write_run
from support.plugins import GOOD, Shelf
from support.style_runs import paint, sets, train_tiny
from support.training_runs import FEW, NARROW, begin
from zoogan.cli import main
from zoogan.runs.loaded import LoadedRun


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """An empty folder of installed plugins."""
    folder = tmp_path / "site"
    folder.mkdir()
    shelf = Shelf(folder, monkeypatch)
    yield shelf
    shelf.clean()


@pytest.fixture
def busy_shelf(shelf: Shelf) -> Shelf:
    """A shelf with the plugin `good`, which a failing neighbour must not disturb."""
    shelf.install("good", GOOD)
    return shelf


@pytest.fixture(scope="session")
def style_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny StarGAN v2 run on drawn faces without and with eyeglasses; to be looked at, not to be written into."""
    run = tmp_path_factory.mktemp("style") / "styles"
    few = ["data.attributes=Eyeglasses", "data.faces=32", "data.held_out=16", "data.probabilities.Eyeglasses=0.5"]
    assert train_tiny(run, *sets(few)) == 0
    return run


@pytest.fixture(scope="session")
def attribute_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SaGAN run on the faces of `style_run`."""
    run = tmp_path_factory.mktemp("attribute") / "attributes"
    few = [
        "data.image_size=32", "data.batch=4", "data.workers=0", "data.attributes=Eyeglasses", "data.faces=32",
        "data.held_out=16",
        "data.probabilities.Eyeglasses=0.5", "generator.width=4", "discriminator.width=4",
    ]  # fmt: skip
    options = ["--out", str(run), "--device", "cpu", "--iterations", "1", *sets(few)]
    assert main(["train", "--model", "sagan", *options]) == 0
    return run


@pytest.fixture(scope="session")
def face_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny StyleGAN2 run, its noise and mean latent made to count; to be looked at, not to be written into."""
    run = tmp_path_factory.mktemp("faces") / "faces"
    assert train_faces(run) == 0
    liven(run)
    return run


@pytest.fixture(scope="session")
def part_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of untrained networks whose faces are made of parts; to be looked at, not to be written into."""
    return write_run(tmp_path_factory.mktemp("parts") / "run")


@pytest.fixture(scope="session")
def loaded_parts(part_run: Path) -> LoadedRun:
    return zoogan.load(part_run)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Says:
    """What a verb says to a mistake; that nothing was written besides."""
    monkeypatch.chdir(tmp_path)

    def said(*arguments: object) -> str:
        capsys.readouterr()
        before = sorted(tmp_path.rglob("*"))
        assert main([*map(str, arguments), "--device", "cpu"]) == 2
        told = capsys.readouterr()
        assert "Traceback" not in told.err and not told.out and sorted(tmp_path.rglob("*")) == before
        return told.err

    return said


@pytest.fixture(scope="session")
def semantic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SemanticStyleGAN on drawn faces of 13 parts, its averages unlike its networks; not to be written into."""
    run = tmp_path_factory.mktemp("parts") / "parts"
    slow = ["training.average_images=null", "training.average=0.9", "training.average_warm_up=false"]
    assert begin("semantic-stylegan", run, *sets([*FEW, *NARROW, *slow])) == 0
    return run


@pytest.fixture(scope="session")
def cartoons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures without labels and label maps."""
    root = tmp_path_factory.mktemp("pictures") / "cartoons"
    for number in range(12):
        paint(root / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def glasses_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SaGAN of one width of its own, with averages; to be looked at, not to be written into."""
    run = tmp_path_factory.mktemp("glasses") / "glasses"
    own = ["generator.width=4", "discriminator.width=4", "training.average=0.5", "data.attributes=Eyeglasses"]
    assert begin("sagan", run, *sets([*FEW, *own]), "--set", "training.sample_every=0") == 0
    return run


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Enough for intervals, in a sixth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("build_report", "reports.comparison"):
            patch.setattr(f"zoogan.evaluation.{module}.RESAMPLES", 60)
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOOGAN_METRIC_WEIGHTS", raising=False)


@pytest.fixture(scope="module", autouse=True)
def as_a_person_runs_it(request: pytest.FixtureRequest) -> Iterator[None]:
    """Verbs run without the checks of shapes, as they do outside of tests: the checks would take half of their time.

    The same functions are checked by the properties, the golden cases and the conformance suite.
    """
    with pytest.MonkeyPatch.context() as patch:
        if getattr(request.module, "main", None) is main:
            patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield
