"""SMILE whole: one command trains parser, layout stage and image stage; one edits a photo through all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.runs import FEW_FACES, NARROW
from support.staged_runs import read_states
from zoogan.cli import main
from zoogan.editors import PhotoLayoutEditor
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun

ATTRIBUTES = ["Male", "Eyeglasses", "Wearing_Hat"]
TINY: dict[str, Any] = {
    "generator": {"code_dim": 4, "stem_width": 4, "widths": [6, 5, 4], "hidden": 4},
    "mapping": {"code_dim": 4, "layers": 1},
    "region_encoder": {"code_dim": 4, "width": 4},
    "discriminator": {"channel_multiplier": 0.01, "max_width": 4},
    "training": {"iterations": 2, "sample_every": 2, "threads": 1},
    "stages": {
        "parser": {"iterations": 2, "batch": 8},
        "layout": {"set": {**NARROW["smile-layout"], "training": {"iterations": 1, "sample_every": 0}}},
    },
}  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all stages, hardly trained."""
    folder = tmp_path_factory.mktemp("smile") / "run"
    data = FEW_FACES | {"faces": 80, "held_out": 60, "attributes": ATTRIBUTES}
    zoogan.train("smile", out=folder, device="cpu", quiet=True, data=data, settings=TINY)
    return folder


@pytest.fixture(scope="module")
def run(run_folder: Path) -> LoadedRun:
    return zoogan.load(run_folder)


@pytest.fixture(scope="module")
def photos(run: LoadedRun, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photos of other sizes than the run's, and the map of the first."""
    folder = tmp_path_factory.mktemp("photos")
    sample = get_zoo().registry.build("source", run.config.data).read("test", [0, 1])
    paths = []
    for name, image in zip(("me", "other"), sample["image"]):
        paths.append(folder / f"{name}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize((48, 48)).save(paths[-1])
    paths.append(folder / "map.png")
    Image.fromarray(sample["segmentation"][0].numpy().astype(np.uint8)).save(paths[-1])
    return paths


def test_stages_lie_in_the_run_and_are_complete(run_folder: Path, run: LoadedRun) -> None:
    states = read_states(run_folder)
    assert [name for name in states] == ["parser", "layout"] and all(one["state"] == "done" for one in states.values())
    assert isinstance(run.editor, PhotoLayoutEditor) and not run.editor.needs_layout
    assert zoogan.load(run_folder / "stages/layout").config.method == "smile-layout"
    assert list((run_folder / "samples").glob("*.png"))


def find_shown_part(run: LoadedRun, photo: Path) -> str:
    """Find a part that the parser, which has hardly learnt, reads off a photo."""
    layout = run.editor.parse_photo(run.prepare_images(photo))  # type: ignore[attr-defined]
    return run.facts.parts[int(layout.sum((0, 2, 3)).argmax())]


def test_verbs_edit_photos(run_folder: Path, run: LoadedRun, photos: list[Path], tmp_path: Path) -> None:
    me, other, layout = map(str, photos)
    part = find_shown_part(run, photos[1])
    verb = ["edit", str(run_folder), me]
    with Image.open(me) as photo:
        size = photo.size
    commands = (
        ["--attribute", "Eyeglasses=1", "--attribute", "Wearing_Hat=0", "--seed", "0", "--seed", "1"],
        ["--attribute", "Wearing_Hat=1", "--reference", other, "--segmentation", "--keep-background"],
        ["--part", part, "--from", other],
        ["--part", "hair", "--from-seed", "7"],
        ["--reference", other],
        ["--layout", layout, "--own", "Male=1", "--attribute", "Eyeglasses=1"],
    )
    for number, (options, count) in enumerate(zip(commands, (2, 2, 1, 1, 1, 1), strict=True)):
        folder = tmp_path / str(number)
        assert main([*verb, "--out", str(folder), *options]) == 0, options
        written = sorted(folder.iterdir())
        assert len(written) == count, (options, written)
        for path in written:
            with Image.open(path) as picture:
                assert picture.size == ((32, 32) if "segmentation" in path.stem else size)


def test_strength_0_is_the_photo_and_parts_leave_the_layout(run: LoadedRun, photos: list[Path]) -> None:
    me, other, layout = photos
    photo = run.prepare_images(me)
    assert torch.equal(run.edit(me, Eyeglasses=1, strength=0).image, photo)
    edit = run.edit(me, layout=layout, part=find_shown_part(run, other), donor=other)
    assert torch.equal(edit.segmentation, run.prepare_layouts(layout).argmax(1))
    swapped = run.edit(me, reference=other)
    assert swapped.extras["target"].shape == (1, len(ATTRIBUTES))


def test_a_part_that_the_photo_lacks_is_told(
    run: LoadedRun, run_folder: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run.prepare_layouts(photos[2])[0].sum((1, 2)) > 0
    part = next(name for name, shows in zip(run.editor.parts, shown.tolist()) if not shows)
    verb = ["edit", str(run_folder), str(photos[0]), "--layout", str(photos[2]), "--out", str(tmp_path / "edits")]
    assert main([*verb, "--part", part, "--from-seed", "1"]) == 0
    assert f"part {part}: the face does not show it" in " ".join(capsys.readouterr().err.split())


def test_one_layout_in_drawn_codes(run_folder: Path, photos: list[Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["sample", str(run_folder), "--layout", str(photos[2]), "-n", "4", "--out", str(sheet)]) == 0
    assert sheet.is_file()
    assert main(["sample", str(run_folder), "-n", "2", "--out", str(tmp_path / "drawn.png")]) == 0


def test_the_image_stage_alone_paints_and_is_measured(run_folder: Path, tmp_path: Path) -> None:
    settings = {key: value for key, value in TINY.items() if key != "stages"}
    data = FEW_FACES | {"held_out": 24}
    run = zoogan.train("smile-image", out=tmp_path / "run", device="cpu", quiet=True, data=data, settings=settings)
    assert not run.editor.can_sample and run.editor.paints_layouts
    assert zoogan.evaluate(tmp_path / "run", metrics=["diversity"], faces=8).report.values


def test_wrong_requests_are_one_sentence(
    run_folder: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ["edit", str(run_folder), str(photos[0]), "--out", str(tmp_path / "edits")]
    for options, expected in (
        (["--attribute", "Eyeglases=1"], "did you mean 'Eyeglasses'"),
        (["--part", "hiar", "--from-seed", "1"], "did you mean 'hair'"),
        (["--attribute", "Eyeglasses=2"], "expected"),
        (["--part", "hair", "--only", "shape", "--from-seed", "1"], "texture"),
    ):
        assert main([*verb, *options]) == 2, options
        said = capsys.readouterr().err
        assert expected in said and "Traceback" not in said, said
    assert not (tmp_path / "edits").exists()


def test_the_parser_may_not_measure_the_run(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = str(run_folder / "stages/parser")
    assert main(["evaluate", str(run_folder), "--judge", judge, "--metrics", "success", "--faces", "4"]) == 2
    assert "the judge is stage parser of this run" in capsys.readouterr().err


def test_edits_are_measured(run: LoadedRun) -> None:
    assert run.path is not None
    for styles, metric in (("latent", "edit_error"), ("reference", "locality")):
        report = zoogan.evaluate(run.path, metrics=[metric], faces=16, styles=styles).report
        assert any(value.name.startswith(("edit_error", "outside_truth")) for value in report.values)
