"""`zoo direction` and edits along directions, by verb and from Python, and a person's mistakes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.pictures import save_picture
from support.toy_faces import (
    ROWS,
    SIZE,
    STYLE,
    ToyJudge,
    fill_noise_and_mean,
    make_toy_axes,
    make_toy_editor,
    set_inversion,
)
from zoogan.cli import main
from zoogan.editors.direction_fits import TooFewFacesError, fit_direction, read_sampled_faces
from zoogan.editors.directions import Direction, make_conditional, measure_cosines, solve_move
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.interfaces import Edit, Request
from zoogan.pictures.photo import quantize_image
from zoogan.runs.folder import RunFolder
from zoogan.runs.latents import read_directions, write_direction
from zoogan.runs.loaded import LoadedRun

pytestmark = pytest.mark.slow

Says = Callable[..., str]


# ---- on faces whose colours are linear in w ----


@pytest.fixture(scope="module")
def ways() -> torch.Tensor:
    return make_toy_axes(math.radians(60))


@pytest.fixture(scope="module")
def toy(ways: torch.Tensor) -> SynthesisEditor:
    """An editor that knows Red and Green, whose true directions meet at 60 degrees."""
    editor, judge = make_toy_editor(ways), ToyJudge()
    latents, probabilities = read_sampled_faces(editor, judge, 600)
    editor.set_directions(
        {name: fit_direction(latents, probabilities[:, k]) for k, name in enumerate(("Red", "Green"))}
    )
    return editor


def shows(edit: Edit) -> torch.Tensor:
    return ToyJudge().read_attributes(edit.image) > 0.5


def asked(editor: SynthesisEditor, seeds: range, strength: float = 1.0, **values: float) -> Edit:
    """Faces from seeds edited by an editor alone."""
    made = editor.sample(seeds)
    request = Request(values, latents=made.extras["latents"])
    return editor.apply(made.image, editor.resolve(request, made.image), strength=strength)


def test_fit_finds_the_true_direction(toy: SynthesisEditor, ways: torch.Tensor) -> None:
    for k, name in enumerate(("Red", "Green")):
        found = toy.directions[name]
        assert float(found.normal @ ways[k].double()) > 0.9 and abs(float(found.normal.norm()) - 1) < 1e-9
        assert found.facts["accuracy"] > 0.95 and found.facts["kept"] == 60 and found.facts["faces"] == 600
        assert found.sides[0] < -1 < 1 < found.sides[1] and abs(found.intercept) < 0.3
    assert measure_cosines(toy.directions["Red"], toy.directions)["Green"] == pytest.approx(0.5, abs=0.2)
    assert toy.attributes == toy.condition.names == ("Red", "Green")


def test_edit_reaches_requested_side(toy: SynthesisEditor) -> None:
    seeds = range(1000, 1040)
    before = shows(toy.sample(seeds))[:, 0]
    assert 5 < int(before.sum()) < 35
    for value in (0.0, 1.0):
        edited = asked(toy, seeds, Red=value)
        assert bool((shows(edited)[:, 0] == bool(value)).all())
        distance = toy.directions["Red"].measure_distance(edited.extras["latents"])
        torch.testing.assert_close(
            distance, torch.full_like(distance, toy.directions["Red"].get_typical_distance(value))
        )
    middle = toy.directions["Red"].measure_distance(asked(toy, seeds, Red=0.5).extras["latents"])
    torch.testing.assert_close(middle, torch.full_like(middle, toy.directions["Red"].get_typical_distance(0.5)))


def test_strength_scales_the_move(toy: SynthesisEditor) -> None:
    made, seeds = toy.sample(range(4)), range(4)
    assert torch.equal(asked(toy, seeds, 0.0, Red=1.0).image, made.image)
    start, once, twice = (asked(toy, seeds, k, Red=1.0).extras["latents"] for k in (0.0, 1.0, 2.0))
    torch.testing.assert_close(twice - start, 2 * (once - start))


def test_several_directions_are_solved_jointly(toy: SynthesisEditor) -> None:
    for red, green in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        edited = asked(toy, range(20), Red=red, Green=green)
        assert bool((shows(edited)[:, :2] == torch.tensor([red, green]).bool()).all())


def test_conditional_direction_keeps_other_attribute(toy: SynthesisEditor) -> None:
    apart = make_conditional(toy.directions["Red"], {"Green": toy.directions["Green"]})
    assert abs(float(apart.path @ toy.directions["Green"].normal)) < 1e-9 and apart.facts["conditional"] == "Green"
    latents = toy.sample(range(10)).extras["latents"]
    moved = latents + solve_move([apart], [1.0], latents)[:, None]
    other = toy.directions["Green"]
    torch.testing.assert_close(other.measure_distance(moved), other.measure_distance(latents), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        apart.measure_distance(moved), torch.full((10,), apart.get_typical_distance(1.0), dtype=torch.float64)
    )
    plain = latents + solve_move([toy.directions["Red"]], [1.0], latents)[:, None]
    assert (other.measure_distance(plain) - other.measure_distance(latents)).abs().mean() > 0.3, (
        "the plain one does not leave it"
    )
    with pytest.raises(ValueError, match="nearly that of Red"):
        make_conditional(toy.directions["Red"], {"Red": toy.directions["Red"]})


def test_latent_rows_move_alike(toy: SynthesisEditor) -> None:
    latents = torch.randn(2, ROWS, STYLE, generator=torch.Generator().manual_seed(1))
    targets = toy.resolve(Request({"Red": 1.0}, latents=latents), torch.zeros(2, 3, SIZE, SIZE))
    edited = toy.apply(torch.zeros(2, 3, SIZE, SIZE), targets).extras["latents"]
    step = edited - latents
    torch.testing.assert_close(step, step[:, :1].expand_as(step), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        toy.directions["Red"].measure_distance(edited),
        torch.full((2,), toy.directions["Red"].get_typical_distance(1.0), dtype=torch.float64),
    )


def test_fit_refuses_too_few_faces() -> None:
    latents = torch.randn(100, 4)
    probability = (torch.arange(100) < 19).float()
    with pytest.raises(TooFewFacesError, match="19 of 100 faces show it, and a direction needs 20"):
        fit_direction(latents, probability)
    with pytest.raises(TooFewFacesError, match="19 of 100 faces do not show it"):
        fit_direction(latents, 1 - probability)
    assert fit_direction(latents, (torch.arange(100) < 20).float()).facts["kept"] == 20


# ---- verbs ----


class Facts:
    source = "drawn"


class FileJudge(ToyJudge):
    """Reads red and green off faces, above what is usual for them, and says what it was trained on."""

    facts = Facts()


@pytest.fixture
def own_run(stylegan2_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to write directions into."""
    return Path(shutil.copytree(stylegan2_run, tmp_path / "faces"))


@pytest.fixture(autouse=True)
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stylegan2_run: Path) -> FileJudge:
    """The judge that `--judge` opens; there is none in the cache."""
    mean = zoogan.load(stylegan2_run).sample(64).image.mean((0, 2, 3))[:2].mean()
    found = FileJudge(-float(mean))
    monkeypatch.setattr("zoogan.judges.judge.load_judge", lambda path: found)
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    return found


def fit(run: Path, *options: str) -> int:
    """`zoo direction` with few faces. Returns the exit code."""
    return main(["direction", str(run), "--judge", "judge", "-n", "200", "--device", "cpu", *options])


@pytest.fixture
def fitted_run(own_run: Path) -> Path:
    assert fit(own_run, "--attribute", "Red", "--attribute", "Green") == 0
    return own_run


def pictures(out: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(out.iterdir())}


def test_directions_are_stored_in_the_run(own_run: Path, judge: FileJudge, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(own_run, "--attribute", "Red") == 0
    assert fit(own_run, "--attribute", "Green", "--conditional", "Red", "--seed", "5") == 0
    said = capsys.readouterr().out
    assert f"zoo edit {own_run} --seed 0 --attribute Green=1" in said and ("Red +" in said or "Red -" in said)
    editor = zoogan.load(own_run).synthesis_editor
    assert editor.attributes == ("Green", "Red")
    facts = editor.directions["Green"].facts
    assert facts["judge"] == judge.digest and facts["faces"] == "200" and facts["conditional"] == "Red"
    assert facts["seed"] == "5" and {"accuracy", "date", "kept", "with", "generator"} <= set(facts)
    assert float(editor.directions["Green"].path @ editor.directions["Red"].normal) == pytest.approx(0, abs=1e-9)
    wanted = zoogan.load(own_run)
    fit(own_run, "--attribute", "Red")  # the same faces give the same direction
    again = zoogan.load(own_run).synthesis_editor.directions["Red"]
    assert torch.equal(again.normal, wanted.synthesis_editor.directions["Red"].normal)


def test_generated_faces_are_edited_by_seed_file_and_python(fitted_run: Path, tmp_path: Path) -> None:
    loaded, out = zoogan.load(fitted_run), tmp_path / "edits"
    wish = ("--attribute", "Red=1", "--device", "cpu")
    assert main(["edit", str(fitted_run), "--seed", "7", "--seed", "9", *wish, "--out", str(out)]) == 0
    written = pictures(out)
    assert list(written) == ["seed-7-edited.png", "seed-7-made.png", "seed-9-edited.png", "seed-9-made.png"]
    made = loaded.sample(1, seed=7)
    edited = loaded.edit(made, Red=1)
    for name, image in (("made", made.image), ("edited", edited.image)):
        assert np.array_equal(written[f"seed-7-{name}.png"], quantize_image(image[0]).permute(1, 2, 0).numpy())
    assert not torch.equal(edited.image, made.image)
    assert float(loaded.synthesis_editor.directions["Red"].measure_distance(edited.extras["latents"])) == pytest.approx(
        loaded.synthesis_editor.directions["Red"].get_typical_distance(1.0), abs=1e-4
    )
    assert main(["sample", str(fitted_run), "--seed", "7", "-n", "1", "--out", str(tmp_path / "one")]) == 0
    file, two = tmp_path / "one/seed-7-latent.safetensors", tmp_path / "two"
    assert main(["edit", str(fitted_run), str(file), *wish, "--out", str(two)]) == 0
    assert list(pictures(two)) == ["seed-7-edited.png"]
    assert np.array_equal(pictures(two)["seed-7-edited.png"], written["seed-7-edited.png"])
    still = loaded.edit(edited, strength=0.0, Red=0)
    assert torch.equal(still.image, edited.image), "an edit can be edited on"
    latents = made.extras["latents"]
    torch.testing.assert_close(loaded.edit(latents[:, 0], Red=1).image, loaded.edit(latents, Red=1).image)


def test_photo_is_inverted_before_editing(fitted_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_inversion(fitted_run, iterations=5, mean_of=20)
    photo, out = save_picture(tmp_path / "me.png"), tmp_path / "edits"
    options = ["--attribute", "Red=1", "--out", str(out), "--device", "cpu"]
    assert main(["edit", str(fitted_run), str(photo), "--strength", "2", "--crop", *options]) == 0
    said = capsys.readouterr().err
    assert "`zoo invert` keeps them" in said and list(pictures(out)) == ["me-edited.png", "me-inverted.png"]
    loaded = zoogan.load(fitted_run)
    wanted = quantize_image(loaded.edit(photo, strength=2.0, Red=1).image[0]).permute(1, 2, 0).numpy()
    assert np.array_equal(pictures(out)["me-edited.png"], wanted)
    assert main(["edit", str(fitted_run), str(photo), "--strength", "0", *options]) == 2
    assert "me-inverted.png: exists already" in capsys.readouterr().err
    assert main(["edit", str(fitted_run), str(photo), "--strength", "0", "--overwrite", *options]) == 0
    assert np.array_equal(pictures(out)["me.png"], np.asarray(Image.open(photo))), (
        "only what an edit changes is laid over"
    )
    assert main(["edit", str(fitted_run), str(photo), "--strength", "2", "--overwrite", *options]) == 0
    assert not np.array_equal(pictures(out)["me.png"], np.asarray(Image.open(photo)))


def test_sheet_shows_directions(fitted_run: Path, tmp_path: Path) -> None:
    assert main(["edit", str(fitted_run), "--grid", "--out", str(tmp_path / "grid.png")]) == 0
    assert Image.open(tmp_path / "grid.png").size[0] == 4 + (8 + 4) * 132


def test_directions_of_other_weights_are_reported(fitted_run: Path) -> None:
    fill_noise_and_mean(fitted_run, 0.5)  # as if the run had been trained further
    loaded = zoogan.load(fitted_run)
    assert not loaded.editor.attributes
    with pytest.raises(ConfigError, match=r"Red: .* other weights .*`zoo direction RUN --attribute Red` fits it anew"):
        loaded.edit(loaded.sample(), Red=1)
    (fitted_run / "directions/Green.safetensors").write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"Green: .*damaged"):
        zoogan.load(fitted_run).edit(loaded.sample(), Green=1)


def test_direction_file_round_trip(toy: SynthesisEditor, tmp_path: Path, stylegan2_run: Path) -> None:
    from zoogan.runs.latents import hash_generator

    editor = zoogan.load(stylegan2_run).synthesis_editor
    apart = make_conditional(toy.directions["Red"], {"Green": toy.directions["Green"]})
    write_direction(RunFolder(tmp_path).directions, "Red", apart, {"generator": hash_generator(editor)})
    (found, unusable) = read_directions(RunFolder(tmp_path).directions, editor)
    back: Direction = found["Red"]
    assert not unusable and torch.equal(back.normal, apart.normal) and torch.equal(back.path, apart.path)
    assert back.intercept == apart.intercept and back.sides == apart.sides and back.facts["conditional"] == "Green"


# ---- mistakes ----


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Says:
    """What a verb says to a mistake."""

    def said(*arguments: object) -> str:
        capsys.readouterr()
        assert main([*map(str, arguments), "--device", "cpu"]) == 2
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return "".join(line for line in told.err.splitlines(True) if not line.startswith("Opening "))

    return said


def test_unfittable_attributes_are_reported(own_run: Path, refused: Says) -> None:
    base = ("direction", own_run, "--judge", "judge")
    said = refused(*base, "--attribute", "Rad", "--attribute", "Blue", "--conditional", "Gren")
    assert len(said.strip().splitlines()) == 3
    assert "Rad: the judge does not read it, did you mean 'Red'?; it reads Red, Green, Never" in said
    assert "--conditional Gren: no direction of that name" in said
    said = refused(*base, "-n", 30, "--share", 0.7)
    assert len(said.strip().splitlines()) == 3 and "--attribute NAME" in said and "-n 30" in said
    assert not (own_run / "directions").exists()
    said = refused(*base, "-n", 100, "--attribute", "Never", "--attribute", "Red")
    assert "Never: 0 of 100 faces show it" in said and "-n" in said
    assert [path.name for path in (own_run / "directions").iterdir()] == ["Red.safetensors"], "Red is kept all the same"
    said = refused(*base, "-n", 100, "--attribute", "Green", "--attribute", "Never", "--conditional", "Never")
    assert "Green: not stored, for Never could not be fitted" in said


def test_direction_needs_judge_and_generator(own_run: Path, sagan_run: Path, refused: Says) -> None:
    said = refused("direction", own_run, "--attribute", "Red")
    assert "no judge reads drawn faces of 16 pixels yet" in said and "zoo judge train --data drawn --size 16" in said
    assert "use `zoo edit`" in refused("direction", sagan_run, "--attribute", "Red", "--judge", "judge")


def test_impossible_edits_are_refused(
    stylegan2_run: Path, fitted_run: Path, sagan_run: Path, refused: Says, tmp_path: Path
) -> None:
    photo, out = save_picture(tmp_path / "me.png"), ("--out", tmp_path / "none")
    said = refused("edit", stylegan2_run, "--seed", 1, "--attribute", "Eyeglasses=1", *out)
    assert "known: none yet; `zoo direction RUN --attribute Eyeglasses` fits one" in said
    said = refused("edit", fitted_run, photo, "--attribute", "Rad=1", *out)  # before the run is opened
    assert "--attribute Rad=1: this run does not know Rad, did you mean 'Red'?; it knows Green, Red" in said
    said = refused(
        "edit", fitted_run, photo, "--seed", 1, "--attribute", "Green=2", "--domain", "x",
        "--threshold", 0.5, "--truncation", 1.5, *out,
    )  # fmt: skip
    assert len(said.strip().splitlines()) == 5
    assert "Green: expected a value from 0 to 1" in said and "--domain: this run makes faces" in said
    assert "leave one of them out" in said and "--truncation 1.5" in said
    wish = ("--attribute", "Red=1", *out)
    assert "have their latents" in refused("edit", fitted_run, photo, "--truncation", 0.5, *wish)
    assert "--threshold: this run makes faces" in refused("edit", fitted_run, "--seed", 1, "--threshold", 0, *wish)
    assert "no such file, did you mean 'me.png'?" in refused("edit", fitted_run, tmp_path / "mee.png", *wish)
    assert "no photo given" in refused("edit", sagan_run, "--seed", 1, "--attribute", "Eyeglasses=1", *out)
    assert not (tmp_path / "none").exists()


def test_python_mistakes_raise_clear_errors(fitted_run: Path, photo_edit: Edit) -> None:
    loaded = zoogan.load(fitted_run)
    made = loaded.sample(2)
    for images, options, expected in (
        (made, {"Blue": 1}, "`zoo direction RUN --attribute Blue` fits one"),
        (made, {"Red": 1, "threshold": 0.5}, "no mask"),
        (made, {"Red": 1, "truncation": 0.5}, "faces from seeds"),
        (made, {"Red": 1, "reference": "he.png"}, "no style from a reference"),
        (photo_edit, {"Red": 1}, "this edit has no latents"),
        (Edit(made.image, extras={"latents": torch.zeros(2, ROWS + 1, STYLE)}), {"Red": 1}, "another generator"),
        (["a.safetensors", "b.png"], {"Red": 1}, "edit them one by one"),
        (torch.zeros(2, ROWS, STYLE + 1), {"Red": 1}, "expected floats of shape"),
    ):
        with pytest.raises(ConfigError, match=expected):
            loaded.edit(images, **options)


@pytest.fixture
def photo_edit() -> Edit:
    return Edit(torch.zeros(1, 3, SIZE, SIZE))


def test_cached_judge_is_the_default(
    own_run: Path, judge: FileJudge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"cache/judges/drawn-{SIZE}").mkdir(parents=True)
    assert main(["direction", str(own_run), "--attribute", "Red", "-n", "100", "--device", "cpu"]) == 0
    assert isinstance(zoogan.load(own_run), LoadedRun) and "stored in" in capsys.readouterr().out
