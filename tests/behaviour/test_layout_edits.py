"""`zoo edit`, `run.edit` and `zoo train` with a run whose edits are maps of parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.part_runs import ErrorReader
from support.pictures import save_picture
from support.runs import tiny_run
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.interfaces import Request
from zoogan.pictures.palette import choose_colours
from zoogan.plugins.host import get_zoo
from zoogan.runs.layouts import save_layout
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.vocabulary import read_attribute_names, read_layout_use
from zoogan.training.summary import suggest_commands

OWN = {"Eyeglasses": 0, "Wearing_Hat": 0, "Bangs": 1}
OWN_OPTION = ("--own", "Eyeglasses=0,Wearing_Hat=0", "--own", "Bangs=1")


@pytest.fixture(scope="module")
def loaded(smile_layout_run: Path) -> LoadedRun:
    return zoogan.load(smile_layout_run)


@pytest.fixture(scope="module")
def truth(loaded: LoadedRun) -> torch.Tensor:
    """Maps of two held-out faces."""
    source = get_zoo().registry.build("source", loaded.config.data)
    return source.read("test", [0, 1])["segmentation"]


@pytest.fixture
def maps(truth: torch.Tensor, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "maps" / f"{name}.png" for name in ("ann", "ben")]
    for path, one in zip(paths, truth):
        save_layout(one, 19, path)
    return paths


@pytest.fixture
def edits(smile_layout_run: Path, tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Run `zoo edit`; gives the numbers in the maps that were written, by name."""

    def run_edit(*options: object) -> dict[str, np.ndarray]:
        out = tmp_path / f"edits-{len(list(tmp_path.iterdir()))}"
        assert main(["edit", str(smile_layout_run), *map(str, options), "--out", str(out)]) == 0
        return {path.name: np.asarray(Image.open(path)) for path in sorted(out.iterdir())}

    return run_edit


# ---- zoo edit ----


def test_edit_writes_maps_that_are_maps_again(
    edits: Callable[..., dict[str, np.ndarray]], maps: list[Path], loaded: LoadedRun, tmp_path: Path
) -> None:
    written = edits(
        "--layout", maps[0], *OWN_OPTION, "--attribute", "Eyeglasses=1", "--attribute", "Wearing_Hat=1", "--seed", 0,
        "--seed", 1, "--truncation", 0.8, "--strength", 0.5, "--segmentation",
    )  # fmt: skip
    assert set(written) == {"ann-layout-seed-0.png", "ann-layout-seed-1.png"}
    expected = loaded.edit(
        layout=maps[0], own=OWN, Eyeglasses=1, Wearing_Hat=1, seed=1, truncation=0.8, strength=0.5
    ).segmentation
    assert expected is not None
    assert np.array_equal(written["ann-layout-seed-1.png"], expected[0].numpy())
    assert not np.array_equal(written["ann-layout-seed-0.png"], written["ann-layout-seed-1.png"])
    (file,) = tmp_path.rglob("ann-layout-seed-1.png")
    with Image.open(file) as picture:
        assert picture.mode == "P"
        colours = np.asarray(picture.convert("RGB"))
    assert np.array_equal(colours, np.array(choose_colours(19), dtype=np.uint8)[expected[0].numpy()])
    assert torch.equal(loaded.prepare_layouts(file).argmax(1), expected)
    again = edits("--layout", file, *OWN_OPTION, "--attribute", "Bangs=0", "--strength", 0)
    assert np.array_equal(again["ann-layout-seed-1-layout.png"], expected[0].numpy())


def test_photo_names_the_files_and_maps_come_in_its_order(
    edits: Callable[..., dict[str, np.ndarray]], maps: list[Path], tmp_path: Path, truth: torch.Tensor
) -> None:
    photos = [save_picture(tmp_path / f"{name}.jpg", size=(64, 64)) for name in ("one", "two")]
    layouts = [option for path in maps for option in ("--layout", path)]
    written = edits(*photos, *layouts, *OWN_OPTION, "--attribute", "Eyeglasses=1", "--strength", 0)
    assert {name: numbers.tolist() for name, numbers in written.items()} == {
        "one-layout.png": truth[0].tolist(), "two-layout.png": truth[1].tolist(),
    }  # fmt: skip


def test_reference_is_a_map_and_a_bare_one_gives_everything(
    edits: Callable[..., dict[str, np.ndarray]], maps: list[Path], loaded: LoadedRun
) -> None:
    written = edits("--layout", maps[0], *OWN_OPTION, "--reference", maps[1])
    expected = loaded.edit(layout=maps[0], own=OWN, reference=maps[1])
    assert expected.segmentation is not None
    assert np.array_equal(written["ann-layout-like-ben.png"], expected.segmentation[0].numpy())
    read = loaded.editor.predict_labels(loaded.prepare_layouts(maps[1]))
    assert torch.equal(expected.extras["target"], read)


def test_film_shows_coloured_maps(smile_layout_run: Path, maps: list[Path], tmp_path: Path) -> None:
    film = tmp_path / "hats.gif"
    options = [*OWN_OPTION, "--attribute", "Wearing_Hat=1", "--seed", "0", "--seed", "1", "--film", str(film)]
    assert main(["edit", str(smile_layout_run), "--layout", str(maps[0]), *options]) == 0
    with Image.open(film) as picture:
        assert picture.size == (32, 64) and picture.n_frames > 1  # type: ignore[attr-defined]
        above = np.asarray(picture.convert("RGB"))[:32].astype(int)
    colours = np.array(choose_colours(19))
    nearest = np.abs(above[:, :, None] - colours).sum(-1)
    assert np.array_equal(nearest.argmin(-1), np.asarray(Image.open(maps[0])))


def test_grid_shows_given_maps(smile_layout_run: Path, maps: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    options = ["--grid", "--layout", str(maps[0]), *OWN_OPTION, "--out", str(out)]
    assert main(["edit", str(smile_layout_run), *options]) == 0
    pixels = np.asarray(Image.open(out).convert("RGB"))
    hair = (pixels == np.array(choose_colours(19)[13])).all(-1)
    assert hair.sum() > 100


# ---- mistakes ----


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (["--attribute", "Bangs=1"], ["edits the map of the parts of a face: give it with --layout MAP.png"]),
        (["MAP", "--attribute", "Bangs=1"], ["edits the map of the parts of a face: give it with --layout MAP.png"]),
        (
            ["one.jpg", "two.jpg", "--layout", "MAP", "--attribute", "Bangs=1"],
            ["2 photos and 1 maps: give --layout once for each photo"],
        ),
        (
            ["--layout", "MAP", "--own", "Hat=1,Bangs=2,x", "--attribute", "Bangs=1"],
            ["--own x: expected NAME=0 or NAME=1", "does not know Hat", "--own Bangs=2: expected 0 or 1"],
        ),
        (["--layout", "MAP", "--attribute", "Bang=1"], ["does not know Bang, did you mean 'Bangs'?"]),
        (["--grid", "--own", "Bangs=1"], ["--grid shows held-out faces, or your own with --layout"]),
    ],
)
def test_mistake_is_refused_before_the_run_is_opened(
    options: list[str], reasons: list[str], smile_layout_run: Path, maps: list[Path],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: pytest.fail("it loaded the run"))
    assert main(["edit", str(smile_layout_run), *[str(maps[0]) if word == "MAP" else word for word in options]]) == 2
    error = capsys.readouterr().err
    assert all(reason in error for reason in reasons) and "Traceback" not in error


def test_layout_is_refused_by_a_run_that_edits_photos(sagan_run: Path, read_error: ErrorReader) -> None:
    error = read_error(
        "edit", sagan_run, "me.png", "--layout", "m.png", "--own", "Male=1", "--attribute", "Eyeglasses=1"
    )
    assert "--layout: this run edits no maps of parts: remove it" in error and "--own: this run" in error
    run = zoogan.load(sagan_run)
    image = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ConfigError, match="layout: this run edits no maps of parts"):
        run.edit(image, layout=torch.zeros(32, 32, dtype=torch.uint8), Eyeglasses=1)
    with pytest.raises(ConfigError, match="images: name the faces to edit"):
        run.edit(Eyeglasses=1)


def test_wrong_values_of_maps_are_named_with_the_parts(loaded: LoadedRun, maps: list[Path], tmp_path: Path) -> None:
    grey, smooth = tmp_path / "grey.png", tmp_path / "smooth.png"
    Image.fromarray(np.full((40, 40), 77, dtype=np.uint8)).save(grey)
    Image.open(maps[0]).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR).save(smooth)
    with pytest.raises(ConfigError) as error:
        loaded.edit(layout=[grey, smooth, tmp_path / "maps" / "an.png"], Bangs=1)
    lines = str(error.value).splitlines()
    assert lines[0].startswith(f"{grey}: 77 is no part of this run. Its parts: 0 background, 1 skin")
    assert (
        lines[1].startswith(f"{smooth}: #") and "no colour of a part" in lines[1] and "#222226 background" in lines[1]
    )
    assert lines[2].endswith("an.png: no such file, did you mean 'ann.png'?")


def test_other_inputs_that_do_not_fit_are_refused(loaded: LoadedRun, maps: list[Path], tmp_path: Path) -> None:
    for layout, reason in (
        (torch.zeros(1, 19, 32, 32), "must be one-hot"),
        (torch.zeros(1, 5, 32, 32), "expected a one-hot tensor"),
        ([], "empty list"),
        (3, "got int"),
    ):
        with pytest.raises(ConfigError, match=reason):
            loaded.edit(layout=layout, Bangs=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="own: Hat: this model does not know"):
        loaded.edit(layout=maps[0], own={"Hat": 1}, Bangs=1)
    with pytest.raises(ConfigError, match="1 maps for 2 images"):
        loaded.edit(torch.zeros(2, 3, 32, 32), layout=maps[0], Bangs=1)
    with pytest.raises(ConfigError, match="layout: this run edits the map"):
        loaded.edit(torch.zeros(1, 3, 32, 32), Bangs=1)


def test_map_of_other_proportions_than_its_photo_is_refused(
    smile_layout_run: Path, maps: list[Path], tmp_path: Path, read_error: ErrorReader
) -> None:
    photo, wide = save_picture(tmp_path / "me.jpg", size=(64, 64)), tmp_path / "wide.png"
    Image.open(maps[0]).resize((80, 40), Image.Resampling.NEAREST).save(wide)
    error = read_error("edit", smile_layout_run, photo, "--layout", wide, "--attribute", "Bangs=1")
    assert f"wide.png: 80 x 40, but its photo {photo} is 64 x 64" in error


def test_imported_run_without_discriminator_asks_for_own_labels(
    smile_layout_run: Path, maps: list[Path], tmp_path: Path, read_error: ErrorReader
) -> None:
    run = Path(shutil.copytree(smile_layout_run, tmp_path / "imported"))
    path = run / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"untrained": ["discriminator"]}))
    command = ("edit", run, "--layout", maps[0], "--attribute", "Eyeglasses=1")
    assert "give all of them with --own, such as --own Eyeglasses=0,Wearing_Hat=0,Bangs=0" in read_error(*command)
    assert main([*map(str, command), *OWN_OPTION, "--out", str(tmp_path / "out")]) == 0


# ---- Python ----


def test_layout_may_be_file_picture_numbers_or_one_hot(
    loaded: LoadedRun, maps: list[Path], truth: torch.Tensor
) -> None:
    expected = loaded.prepare_layouts(truth)
    colours = Image.open(maps[0]).convert("RGB").resize((96, 96), Image.Resampling.NEAREST)
    assert torch.equal(loaded.prepare_layouts(list(maps)), expected)
    for same in (colours, truth[0], truth[:1].long(), expected[0], expected[:1], str(maps[0])):
        assert torch.equal(loaded.prepare_layouts(same), expected[:1])  # type: ignore[arg-type]


def test_edit_has_no_image_and_can_be_edited_again(loaded: LoadedRun, truth: torch.Tensor) -> None:
    edit = loaded.edit(layout=truth[0], own=OWN, Eyeglasses=1)
    assert edit.image_or_none is None and edit.segmentation is not None
    assert edit.extras["own"].tolist() == [[0, 0, 1]] and edit.extras["target"].tolist() == [[1, 0, 1]]
    assert torch.equal(loaded.edit(edit, strength=0, Bangs=0).segmentation, edit.segmentation)  # type: ignore[arg-type]


def test_edit_equals_what_the_editor_makes(loaded: LoadedRun, truth: torch.Tensor) -> None:
    layout, image = loaded.prepare_layouts(truth), torch.zeros(2, 3, 32, 32)
    targets = loaded.editor.resolve(Request({"Wearing_Hat": 1.0}), image) | {"layout": layout}
    ours = loaded.edit(layout=truth, Wearing_Hat=1, seed=4).segmentation
    assert ours is not None and torch.equal(ours, loaded.editor.apply(image, targets, seed=4).segmentation)  # type: ignore[arg-type]


def test_vocabulary_knows_runs_of_maps(smile_layout_run: Path, sagan_run: Path, tmp_path: Path) -> None:
    assert read_attribute_names(smile_layout_run) == tuple(OWN)
    runs, registry = (smile_layout_run, sagan_run, tmp_path), get_zoo().registry
    assert [read_layout_use(path, registry) for path in runs] == ["needed", "none", None]


# ---- training and evaluation ----


def test_training_ends_with_figures_of_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from support.layout_editors import WORN

    run = tmp_path / "run"
    evaluated = {"evaluate": "layout", "evaluate_every": 1, "evaluate_options": {"layout": {"success": False}}}
    assert tiny_run("smile-layout", run, iterations=1, data=WORN, training=evaluated) == 0
    output = "".join(capsys.readouterr())
    assert "edit error" not in output
    assert f"zoo edit {run} --layout MAP.png --attribute Eyeglasses=1" in output
    for part in (
        "Eyeglasses: changed pixels right",
        "unedited 0.000",
        "others kept",
        "IoU of eye_g",
        "left after removal",
    ):
        assert part in output
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("layout.kept" in str(line) for line in lines)


def test_training_refuses_image_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert tiny_run("smile-layout", run, training={"evaluate": "edit_error", "evaluate_every": 1}) == 2
    error = capsys.readouterr().err
    assert "training.evaluate: edit_error: it measures images, and this run's edits are maps of parts" in error
    assert error.rstrip().endswith("there are layout")


def test_suggested_command_names_the_photo_only_where_it_is_read(
    loaded: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "zoo edit run --layout MAP.png" in suggest_commands(loaded.editor, Path("run"), ["Bangs"])[0]
    monkeypatch.setattr(loaded.editor, "reads_photos", True)
    assert "zoo edit run PHOTO --layout MAP.png" in suggest_commands(loaded.editor, Path("run"), ["Bangs"])[0]
    with pytest.raises(ConfigError, match="this run reads the photo of a face beside its map"):
        loaded.edit(layout=torch.zeros(32, 32, dtype=torch.uint8), Bangs=1)


@pytest.mark.usefixtures("fast_bootstrap", "temporary_cache")
@pytest.mark.parametrize("styles", ["latent", "reference"])
def test_evaluate_measures_maps_with_both_kinds_of_styles(smile_layout_run: Path, styles: str, tmp_path: Path) -> None:
    result = zoogan.evaluate(
        smile_layout_run, styles=styles, out=tmp_path / "report", settings={"layout": {"success": False}}
    )
    values = {value.name: value for value in result.report.values if value.attribute == "Eyeglasses"}
    assert values["layout.changed.unedited"].value == 0 and values["layout.kept.unedited"].value == 1
    assert "layout.reference.iou" in values and values["layout.kept"].low is not None
    assert not result.report.skipped
    page = (tmp_path / "report" / "report.html").read_text()
    assert "The edits are maps of parts." in page and "eye_g" in page


@pytest.mark.usefixtures("fast_bootstrap", "temporary_cache")
def test_runs_of_maps_are_compared(smile_layout_run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(smile_layout_run, tmp_path / "other"))
    zoogan.compare(
        [smile_layout_run, other], data="drawn", out=tmp_path / "c",
        settings={"layout": {"success": False, "reference": False}, "data": {"held_out": 16, "faces": 32}},
    )  # fmt: skip
    page = (tmp_path / "c" / "compare.html").read_text()
    assert "</span> eye_g</span>" in page and "edit_error" not in page
    headlines = page.partition("At a glance")[2].partition("Bold")[0].replace("<wbr>", "")
    assert "layout.changed" in headlines and (tmp_path / "c" / "grid-Eyeglasses.png").exists()
