"""Fixtures of the behaviour tests: tiny runs, plugin folders and ways to run a verb."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

import zoogan
from support.layout_editors import WORN
from support.part_runs import ErrorReader, write_part_run
from support.pictures import save_picture
from support.plugins import GOOD_PLUGIN, PluginFolder
from support.runs import tiny_run
from support.toy_faces import fill_noise_and_mean
from zoogan.cli import main
from zoogan.plugins import catalogue
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun

EYEGLASSES = {"attributes": "Eyeglasses", "probabilities": {"Eyeglasses": 0.5}}
"""Data settings of drawn faces of which every second one wears eyeglasses."""

PLANNED = """
next-gan:
  title: NextGAN
  summary: Edits faces in a way that nobody has built yet
  paper: {title: Next GANs, authors: "Ann Author, Ben Author", venue: Some Conference, arxiv: "2601.00001"}
  year: 2026
  task: attribute-editing
  needs: {source: [image]}
  distribution: null
  tier: planned
  code: {repository: null, official: false, licence: null}
"""
"""An entry of the catalogue for a method that is not written yet."""


@pytest.fixture
def planned_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A catalogue with a planned method; its id."""
    path = tmp_path / "registry.yaml"
    path.write_text(catalogue.find_catalogue().read_text() + PLANNED)
    monkeypatch.setattr(catalogue, "find_catalogue", lambda: path)
    for cached in (catalogue.read_core_catalogue, get_zoo):
        cached.cache_clear()
    yield "next-gan"
    for cached in (catalogue.read_core_catalogue, get_zoo):
        cached.cache_clear()


# ---- runs, trained once a session; tests read them and copy them before they write ----


@pytest.fixture(scope="session")
def stargan_v2_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny StarGAN v2 run on drawn faces without and with eyeglasses."""
    run = tmp_path_factory.mktemp("stargan_v2") / "styles"
    assert tiny_run("stargan-v2", run, data=EYEGLASSES) == 0
    return run


@pytest.fixture(scope="session")
def smile_layout_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run of SMILE's layout stage, whose edits are maps of 19 parts."""
    run = tmp_path_factory.mktemp("smile_layout") / "maps"
    assert tiny_run("smile-layout", run, data=WORN) == 0
    return run


@pytest.fixture(scope="session")
def sagan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SaGAN run of one iteration on the faces of `stargan_v2_run`."""
    run = tmp_path_factory.mktemp("sagan") / "attributes"
    assert tiny_run("sagan", run, iterations=1, data={"image_size": 32, **EYEGLASSES}) == 0
    return run


@pytest.fixture
def sagan_copy(sagan_run: Path, tmp_path: Path) -> Path:
    """A copy of `sagan_run` that a test may change."""
    return Path(shutil.copytree(sagan_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def averaged_sagan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SaGAN run with moving averages and widths other than the recipe's."""
    run = tmp_path_factory.mktemp("averaged_sagan") / "glasses"
    assert tiny_run("sagan", run, data={"attributes": "Eyeglasses"}, training={"average": 0.5}) == 0
    return run


@pytest.fixture(scope="session")
def stylegan2_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny StyleGAN2 run whose noise and mean latent change its faces."""
    run = tmp_path_factory.mktemp("stylegan2") / "faces"
    assert tiny_run("stylegan2", run) == 0
    fill_noise_and_mean(run)
    return run


@pytest.fixture(scope="session")
def semantic_stylegan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SemanticStyleGAN run on drawn faces of 13 parts, whose averages differ from its networks."""
    run = tmp_path_factory.mktemp("semantic_stylegan") / "parts"
    averages = {"average_images": None, "average": 0.9, "average_warm_up": False}
    assert tiny_run("semantic-stylegan", run, training=averages) == 0
    return run


@pytest.fixture(scope="session")
def untrained_part_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SemanticStyleGAN run of untrained networks, with four parts."""
    return write_part_run(tmp_path_factory.mktemp("untrained") / "run")


@pytest.fixture(scope="session")
def loaded_part_run(untrained_part_run: Path) -> LoadedRun:
    """Open `untrained_part_run`."""
    return zoogan.load(untrained_part_run)


@pytest.fixture(scope="session")
def plain_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures without labels or segmentations."""
    root = tmp_path_factory.mktemp("pictures") / "cartoons"
    for number in range(12):
        save_picture(root / f"{number}.png")
    return root


# ---- plugins ----


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """An empty folder of installed plugins."""
    path = tmp_path / "site"
    path.mkdir()
    folder = PluginFolder(path, monkeypatch)
    yield folder
    folder.unload_modules()


@pytest.fixture
def good_plugin_folder(plugin_folder: PluginFolder) -> PluginFolder:
    """A folder with the plugin `good`, which a broken plugin must not disturb."""
    plugin_folder.install("good", GOOD_PLUGIN)
    return plugin_folder


# ---- verbs ----


@pytest.fixture
def read_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> ErrorReader:
    """Run a verb that must refuse its arguments and write nothing; return its error message."""
    monkeypatch.chdir(tmp_path)

    def run_refused(*arguments: object) -> str:
        capsys.readouterr()
        before = sorted(tmp_path.rglob("*"))
        assert main([*map(str, arguments), "--device", "cpu"]) == 2
        output = capsys.readouterr()
        assert "Traceback" not in output.err and not output.out and sorted(tmp_path.rglob("*")) == before
        return "".join(line for line in output.err.splitlines(True) if not line.startswith("Opening "))

    return run_refused


@pytest.fixture(scope="module")
def fast_bootstrap() -> Iterator[None]:
    """Resample 60 times for an interval, which takes a sixth of the usual time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("build_report", "reports.comparison"):
            patch.setattr(f"zoogan.evaluation.{module}.RESAMPLES", 60)
        yield


@pytest.fixture
def temporary_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache, and no weights of metrics."""
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOOGAN_METRIC_WEIGHTS", raising=False)


@pytest.fixture(scope="session", autouse=True)
def keep_prepared_faces_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the prepared faces of tests that use no cache of their own out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        from zoogan.data import prepared

        folder = tmp_path_factory.mktemp("prepared")
        patch.setattr(prepared, "get_cache_folder", lambda: Path(os.environ.get("ZOOGAN_CACHE") or folder))
        yield


@pytest.fixture(scope="module", autouse=True)
def disable_shape_checks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run verbs without shape checks, as they run outside of tests; the checks would take half of the time.

    Property tests, golden cases and the conformance suite check the same functions. The fixture applies to test
    modules that import `main`.
    """
    with pytest.MonkeyPatch.context() as patch:
        if getattr(request.module, "main", None) is main:
            patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield
