"""Faces made of parts, as a person uses them: edits by parts, pictures of the parts, films, tuned generators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import zoogan
from part_faces import RUN_PARTS, write_run
from style_runs import paint
from zoogan.cli import main
from zoogan.cli.train import farewell
from zoogan.config import ConfigError
from zoogan.data.palette import coloured
from zoogan.data.photo import LEGIBLE, to_bytes
from zoogan.plugins import zoo
from zoogan.training.loaded import LoadedRun
from zoogan.training.run import Run

Says = Callable[..., str]
CELL = LEGIBLE + 4  # a face enlarged to what can be looked at, and the gutter


@pytest.fixture(scope="module")
def part_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose faces are made of parts; to be looked at, not to be written into."""
    return write_run(tmp_path_factory.mktemp("parts") / "run")


@pytest.fixture(scope="module")
def loaded(part_run: Path) -> LoadedRun:
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


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """The pictures in a folder by name."""
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def pixels(image: torch.Tensor) -> np.ndarray:
    """One face as a file has it."""
    shown = image if image.dtype == torch.uint8 else to_bytes(image)
    return shown[0].permute(1, 2, 0).numpy()


# ---- edits ----


def test_parts_come_from_another_face(part_run: Path, loaded: LoadedRun, tmp_path: Path) -> None:
    out = tmp_path / "edits"
    options = ["--part", "hair", "--part", "glasses", "--from-seed", "7", "--segmentation"]
    assert main(["edit", str(part_run), "--seed", "3", *options, "--out", str(out), "--device", "cpu"]) == 0
    own, other = loaded.sample(seed=3), loaded.maker.latents([7])
    latents = own.extras["latents"].clone()
    latents[:, 5:9] = other[:, 5:9]  # after the shared row, two rows a part
    wanted = loaded.maker.synthesise(latents, loaded.maker.noise([3]))
    assert wanted.segmentation is not None and not torch.equal(wanted.image, own.image)
    written = pictures(out)
    assert list(written) == ["seed-3-edited.png", "seed-3-made.png", "seed-3-segmentation.png"]
    assert np.array_equal(written["seed-3-made.png"], pixels(own.image))
    assert np.array_equal(written["seed-3-edited.png"], pixels(wanted.image))
    assert np.array_equal(written["seed-3-segmentation.png"], pixels(coloured(wanted.segmentation, len(RUN_PARTS))))
    edit = loaded.edit(own, part=["hair", "glasses"], from_seed=7)
    assert torch.equal(edit.image, wanted.image) and torch.equal(edit.extras["latents"], latents)
    torch.testing.assert_close(loaded.edit(own, part=["hair", "glasses"], donor=other).image, wanted.image)
    assert torch.equal(loaded.edit(own, part="hair", from_seed=7, strength=0.0).image, own.image)
    half = loaded.edit(own, part=["hair", "glasses"], from_seed=7, strength=0.5).extras["latents"]
    torch.testing.assert_close(half, (own.extras["latents"] + latents) / 2)


def test_only_a_kind_of_latent_comes(loaded: LoadedRun) -> None:
    own, other = loaded.sample(2, seed=3), loaded.sample(2, seed=8).extras["latents"]
    edit = loaded.edit(own, part="face", only="texture", donor=other)
    changed = (edit.extras["latents"] != own.extras["latents"]).any(2).any(0).tolist()
    assert [row for row, differs in enumerate(changed) if differs] == [4]
    assert torch.equal(edit.extras["latents"][:, 4], other[:, 4]), "each face from its own donor"
    before, after = (loaded.maker.generator(face.extras["latents"]) for face in (own, edit))
    assert before.coarse is not None and after.coarse is not None
    assert torch.equal(before.coarse, after.coarse) and not torch.equal(before.image, after.image)
    shape = loaded.edit(own, part="coarse", only="shape", donor=other[:1]).extras["latents"]
    assert torch.equal(shape[:, 0], other[:1, 0].expand(2, -1)) and torch.equal(
        shape[:, 1:], own.extras["latents"][:, 1:]
    )


def test_files_of_latents_and_photos_give_and_take_parts(part_run: Path, loaded: LoadedRun, tmp_path: Path) -> None:
    base = ["--out", str(tmp_path / "faces"), "--device", "cpu"]
    assert main(["sample", str(part_run), "-n", "2", "--seed", "4", *base]) == 0
    own, other = (tmp_path / f"faces/seed-{k}-latent.safetensors" for k in (4, 5))
    out = ["--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit", str(part_run), str(own), "--part", "hair", "--from", str(other), *out]) == 0
    wanted = loaded.edit(loaded.sample(seed=4), part="hair", from_seed=5)
    assert np.array_equal(pictures(tmp_path / "edits")["seed-4-edited.png"], pixels(wanted.image))
    photo = paint(tmp_path / "me.png")
    assert main(["edit", str(part_run), str(own), "--part", "hair", "--from", str(photo), *out]) == 0
    wanted = loaded.edit(loaded.sample(seed=4), part="hair", donor=photo)
    assert np.array_equal(pictures(tmp_path / "edits")["seed-4-edited.png"], pixels(wanted.image))
    assert main(["edit", str(part_run), str(photo), "--part", "hair", "--from-seed", "5", *out]) == 0
    wanted = loaded.edit(loaded.invert(photo), part="hair", from_seed=5)
    assert np.array_equal(pictures(tmp_path / "edits")["me-edited.png"], pixels(wanted.image))


def test_a_donor_is_truncated_as_the_faces_are(part_run: Path, loaded: LoadedRun, tmp_path: Path) -> None:
    options = ["--truncation", "0.5", "--part", "hair", "--from-seed", "7", "--out", str(tmp_path), "--device", "cpu"]
    assert main(["edit", str(part_run), "--seed", "3", *options]) == 0
    other = loaded.sample(seed=7, truncation=0.5)
    wanted = loaded.edit(loaded.sample(seed=3, truncation=0.5), part="hair", donor=other)
    assert np.array_equal(pictures(tmp_path)["seed-3-edited.png"], pixels(wanted.image))


def test_parts_and_attributes_together(part_run: Path) -> None:
    from zoogan.games.directions import Direction

    loaded = zoogan.load(part_run)
    normal = torch.nn.functional.normalize(torch.linspace(-1, 1, 8, dtype=torch.float64), dim=0)
    loaded.maker.learn({"Red": Direction(normal, 0.1, normal, (-1.0, 1.0), {})})
    own = loaded.sample(seed=3)
    edit = loaded.edit(own, part="hair", from_seed=7, Red=1)
    red = loaded.maker.directions["Red"]
    assert float(red.distance(edit.extras["latents"])) == pytest.approx(red.aim(1.0), abs=1e-4)
    parts = loaded.edit(own, part="hair", from_seed=7)
    moved = edit.extras["latents"] - parts.extras["latents"]
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved)), "every row by as much"
    torch.testing.assert_close(loaded.edit(parts, Red=1).image, edit.image, atol=1e-5, rtol=0)


# ---- mistakes in edits ----


def test_parts_that_cannot_be_had(
    part_run: Path, face_run: Path, attribute_run: Path, refused: Says, tmp_path: Path
) -> None:
    seed = ("edit", part_run, "--seed", 1)
    said = refused(*seed, "--part", "hairs", "--part", "nose", "--from-seed", 7, "--attribute", "Red=1")
    assert len(said.strip().splitlines()) == 3
    assert "part hairs: no part of that name, did you mean 'hair'?; known: coarse, background, face, hair" in said
    assert "part nose: no part of that name" in said and "Red: no direction of that name" in said
    said = refused(*seed, "--part", "hair", "--from-seed", 7, "--only", "textures")
    assert "no kind of latent is called 'textures', did you mean 'texture'?" in said
    said = refused(*seed, "--part", "coarse", "--from-seed", 7, "--only", "texture")
    assert "part coarse: got texture, expected shape, which is all that it has" in said
    assert "--part hair: say whose: --from-seed SEED, or --from FILE" in refused(*seed, "--part", "hair")
    said = refused(*seed, "--only", "shape", "--from-seed", 7, "--from", "x.png")
    assert len(said.strip().splitlines()) == 4 and "--only shape: say of which part" in said and "leave one" in said
    said = refused(*seed, "--part", "hair", "--from", tmp_path / "none.safetensors")
    assert "none.safetensors: no such file" in said
    said = refused("edit", face_run, "--seed", 1, "--part", "hair", "--from-seed", 7, "--segmentation")
    assert "this run makes faces in one piece" in said and "--segmentation: this run" in said
    photo = paint(tmp_path / "me.png")
    for options in (("--part", "hair", "--from-seed", 7), ("--attribute", "Eyeglasses=1", "--segmentation")):
        assert "this run edits photos as a whole" in refused("edit", attribute_run, photo, *options)


def test_a_sheet_names_what_it_does_not_take(tmp_path: Path, refused: Says) -> None:
    given = ("--segmentation", "--strength", 0.5, "--threshold", 0.5, "--truncation", 0.5, "--part", "hair")
    said = refused("edit", tmp_path, "--grid", *given, "--from-seed", 7, "--out", "grid.png")
    assert "leave out --part, --from-seed, --segmentation, --strength, --threshold, --truncation\n" in said
    said = refused("edit", tmp_path, "--grid", "--attribute", "Smiling=1", "--seed", 0, "--only", "shape")
    assert "leave out --attribute, --only, --seed\n" in said
    assert "leave out --root\n" in refused("edit", tmp_path, "me.png", "--grid", "--root", tmp_path)


def test_what_has_an_option_of_its_own_is_no_attribute(part_run: Path, attribute_run: Path, refused: Says) -> None:
    words = ("part=hair", "only=shape", "from_seed=7")
    said = refused("edit", part_run, "--seed", 1, *(part for word in words for part in ("--attribute", word)))
    assert "--attribute part=hair: part is no attribute; use --part NAME\n" in said
    assert "--attribute only=shape: only is no attribute; use --only KIND\n" in said
    assert "--attribute from_seed=7: from_seed is no attribute; use --from-seed SEED\n" in said
    for run in (part_run, attribute_run):
        said = refused("edit", run, "--seed", 1, "--attribute", "donor=x.png", "--attribute", "strength=2")
        assert "donor is no attribute; use --from FILE" in said and "use --strength NUMBER" in said


def test_mistakes_from_python(loaded: LoadedRun, attribute_run: Path, face_run: Path) -> None:
    made = loaded.sample(3)
    for options, expected in (
        ({"part": "hair"}, "hair: name the face whose they are by from_seed, or give one as donor"),
        ({"part": "hair", "from_seed": 1, "donor": made}, "leave one of them out"),
        ({"part": "hair", "from_seed": "x"}, "from_seed: expected a whole number, got 'x'"),
        ({"from_seed": 1}, "say of which part"),
        ({"donor": made}, "say which part of it to take: coarse, background"),
        ({"part": "hair", "donor": loaded.sample(2)}, "donor: got 2 faces, expected 1, or 3, one for each"),
        ({"part": "hair", "donor": torch.zeros(1, 3, 8)}, "expected floats of shape"),
    ):
        with pytest.raises(ConfigError, match=expected):
            loaded.edit(made, **options)
    whole = zoogan.load(face_run)
    with pytest.raises(ConfigError, match="in one piece"):
        whole.edit(whole.sample(), donor=whole.sample())
    with pytest.raises(ConfigError, match="takes no parts"):
        zoogan.load(attribute_run).edit(torch.zeros(1, 3, 32, 32), donor=made, Eyeglasses=1)


# ---- pictures and films ----


def test_a_face_is_shown_part_by_part(
    part_run: Path, loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "parts.png"
    assert main(["parts", str(part_run), "--seed", "3", "--out", str(out), "--device", "cpu"]) == 0
    assert "rows: face, segmentation, mask of the part, depth of the part" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[1] == 4 + len(RUN_PARTS) * CELL
    top = sheet.shape[0] - 4 * CELL
    assert top > 4 and (sheet[: top - 4] < 128).any(), "captions"

    def cell(row: int, column: int) -> np.ndarray:
        enlarged = sheet[top + row * CELL :, 4 + column * CELL :][:LEGIBLE, :LEGIBLE]
        return enlarged[:: LEGIBLE // 16, :: LEGIBLE // 16]

    whole = loaded.sample(seed=3)
    assert whole.segmentation is not None
    assert np.array_equal(cell(0, 3), pixels(whole.image))
    assert np.array_equal(cell(1, 3), pixels(coloured(whole.segmentation, len(RUN_PARTS))))
    assert (cell(2, 0) == 255).all(), "alone, the background is everywhere"
    assert len({cell(0, k).tobytes() for k in range(4)}) == 4
    made = loaded.maker.generator(whole.extras["latents"], loaded.maker.noise([3]))
    assert made.coarse is not None and made.depth is not None
    mask = made.coarse[:, 3:].repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
    assert np.array_equal(cell(2, 3), pixels(mask))
    depth, shown = made.depth[0, 2].flatten(), cell(3, 2)[::2, ::2, 0].flatten()
    assert shown[int(depth.argmax())] == 255 and shown[int(depth.argmin())] == 0
    assert main(["sample", str(part_run), "--seed", "3", "-n", "1", "--out", str(tmp_path / "one")]) == 0
    file, again = tmp_path / "one/seed-3-latent.safetensors", tmp_path / "again.png"
    assert main(["parts", str(part_run), "--latents", str(file), "--out", str(again), "--device", "cpu"]) == 0
    assert np.array_equal(np.asarray(Image.open(again)), sheet)


def frames(path: Path) -> list[np.ndarray]:
    """The frames of a GIF, those that stand still for long as one."""
    with Image.open(path) as film:
        shown = []
        for k in range(film.n_frames):
            film.seek(k)
            shown.append(np.asarray(film.convert("RGB"), dtype=int))
        return shown


def test_a_film_of_one_part(part_run: Path, loaded: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoogan.data import film as film_module
    from zoogan.data.film import BETWEEN

    film, save = tmp_path / "hair.gif", film_module.save_film
    walked: list[torch.Tensor] = []

    def kept(shots: Iterable[torch.Tensor], path: Path) -> Path:
        walked.extend(shots)
        return save(walked, path)

    monkeypatch.setattr(film_module, "save_film", kept)
    options = ["--film", str(film), "--part", "hair", "--only", "texture", "--segmentation", "-n", "3", "--seed", "5"]
    assert main(["sample", str(part_run), *options, "--device", "cpu"]) == 0
    assert len(walked) == 3 * BETWEEN + 1 and torch.equal(walked[0], walked[-1]) and film.is_file()
    latents = loaded.maker.latents([5, 6, 7])
    for k in range(3):
        met = latents[:1].clone()
        met[:, 6] = latents[k, 6]
        made = loaded.maker.synthesise(met)
        assert made.segmentation is not None
        shot = walked[k * BETWEEN][:, :: LEGIBLE // 16, :: LEGIBLE // 16]
        near = torch.cat([to_bytes(made.image)[0], coloured(made.segmentation, len(RUN_PARTS))[0]], 2)
        assert (shot.int() - near.int()).abs().max() <= 1
    assert len(frames(film)) > 30 and frames(film)[0].shape == (LEGIBLE, 2 * LEGIBLE, 3)
    steps = torch.stack([shot[:, :, :LEGIBLE].float() for shot in walked]).diff(dim=0).abs().amax((1, 2, 3))
    assert steps.max() < 60 and steps.max() > 0, "no jumps, and something happens"


def test_films_and_pictures_that_cannot_be_made(
    part_run: Path, face_run: Path, attribute_run: Path, refused: Says
) -> None:
    said = refused("sample", part_run, "--part", "hair", "--only", "shape", "--segmentation")
    assert len(said.strip().splitlines()) == 3 and "--part is about films: give --film FILE" in said
    film = ("--film", "x.gif")
    assert "give --part NAME as well" in refused("sample", part_run, *film, "--only", "shape")
    assert "did you mean 'hair'?" in refused("sample", part_run, *film, "--part", "hairs")
    assert "did you mean 'shape'?" in refused("sample", part_run, *film, "--part", "hair", "--only", "shap")
    assert "in one piece" in refused("sample", face_run, *film, "--part", "hair")
    assert "in one piece" in refused("sample", face_run, *film, "--segmentation")
    assert "in one piece" in refused("parts", face_run)
    assert "use `zoo edit`" in refused("parts", attribute_run)
    said = refused("parts", part_run, "--seed", 1, "--latents", "x.safetensors", "--truncation", 0.5, "--out", "folder")
    assert len(said.strip().splitlines()) == 3 and "leave one of them out" in said and "expected a picture" in said
    assert "x.safetensors: no such file" in refused("parts", part_run, "--latents", "x.safetensors")


def test_a_sheet_shows_segmentations_and_parts_of_others(part_run: Path, loaded: LoadedRun, tmp_path: Path) -> None:
    columns = loaded.editor.sheet(torch.zeros(2, 3, 16, 16), torch.zeros(2, 0))
    assert [column.caption for column in columns[8:]] == [
        "first, its segmentation", "first, hair of second", "its segmentation",
        "first, face of second", "its segmentation",
    ]  # fmt: skip
    wanted = loaded.edit(loaded.sample(2), part="hair", donor=loaded.maker.latents([2, 3]))
    torch.testing.assert_close(columns[9].images, wanted.image)
    assert torch.equal(columns[8].images, loaded.sample(2).segmentation)
    assert main(["edit", str(part_run), "--grid", "--out", str(tmp_path / "grid.png"), "--device", "cpu"]) == 0
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    assert sheet.shape[1] == 4 + 13 * CELL
    layout = loaded.sample(8).segmentation
    assert layout is not None
    first = sheet[-8 * CELL :, 4 + 8 * CELL :][:LEGIBLE, :LEGIBLE][:: LEGIBLE // 16, :: LEGIBLE // 16]
    assert np.array_equal(first, pixels(coloured(layout[:1], len(RUN_PARTS))))


# ---- photos ----


def test_a_training_ends_with_what_faces_of_parts_are_for(part_run: Path, loaded: LoadedRun) -> None:
    session = SimpleNamespace(
        run=Run(part_run), zoo=zoo(), facts=loaded.facts, accelerator=SimpleNamespace(device=torch.device("cpu"))
    )
    said = farewell(session)
    part = "hair" if "hair" in RUN_PARTS else RUN_PARTS[-1]
    assert f"zoo edit {part_run} --seed 0 --part {part} --from-seed 1" in said and f"zoo parts {part_run}" in said
    assert "zoo direction" not in said and "PHOTO" not in said


def test_a_method_says_how_photos_are_found(part_run: Path, loaded: LoadedRun, tmp_path: Path) -> None:
    assert loaded.maker.inversion.iterations == 5 and loaded.maker.inversion.noise == "fixed"
    assert loaded.maker.inversion.mean_weight == 1.0, "what the config does not name is the method's own"
    assert set(loaded.invert(loaded.sample().image).extras) == {"latents"}
    old = write_run(tmp_path / "old")
    config = yaml.safe_load((old / "config.yaml").read_text())
    del config["inversion"]
    (old / "config.yaml").write_text(yaml.safe_dump(config))
    assert zoogan.load(old).maker.inversion.iterations == 400


@pytest.mark.parametrize("kind", ["parts", "whole"])
def test_a_tuned_generator_is_nearer_to_the_photo_and_leaves_the_run_alone(
    kind: str, part_run: Path, face_run: Path
) -> None:
    run = part_run if kind == "parts" else face_run
    loaded = zoogan.load(run)
    before = {name: value.clone() for name, value in loaded.networks.state_dict().items()}
    photos = loaded.sample(2, seed=30).image
    counted: list[int] = []
    settings = {"iterations": 5, "mean_of": 50, "tune": True, "tune_iterations": 15, "tune_lr": 0.003}
    found = loaded.invert(photos, watch=lambda done, terms: counted.append(done) is not None, **settings)
    assert found.pivot_loss is not None and bool((found.loss < 0.95 * found.pivot_loss).all())
    assert counted == list(range(1, 21))
    untuned = loaded.invert(photos, **(settings | {"tune": False}))
    assert torch.equal(untuned.extras["latents"], found.extras["latents"]) and untuned.generator is None
    torch.testing.assert_close(untuned.loss, found.pivot_loss)
    after = loaded.networks.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(weight.requires_grad for weight in loaded.networks.parameters())
    assert torch.equal(loaded.edit(found).image, found.image), "an edit uses the tuned one"
    again = loaded.edit(loaded.edit(found))
    assert torch.equal(again.image, found.image) and again.generator is found.generator, "and an edit of an edit"
    torch.testing.assert_close(loaded.edit(found.row(1)).image, found.image[1:], atol=1e-5, rtol=0)


def tune(run: Path, photo: Path, out: Path, *options: str) -> int:
    """`zoo invert --tune`, on the CPU. Returns the exit code."""
    tuning = ["--iterations", "3", "--tune", "--tune-iterations", "4"]
    return main(["invert", str(run), str(photo), *tuning, "--out", str(out), "--device", "cpu", *options])


def test_edits_of_a_latent_use_the_generator_that_was_tuned_for_it(
    part_run: Path, loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {path.name: path.read_bytes() for path in (part_run / "model").iterdir()}
    photo, out = paint(tmp_path / "me.png"), tmp_path / "found"
    assert tune(part_run, photo, out) == 0
    assert ", tuned 0." in capsys.readouterr().out
    names = ["me-generator.safetensors", "me-inverted.png", "me-latent.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert {path.name: path.read_bytes() for path in (part_run / "model").iterdir()} == model
    found = loaded.invert(photo, iterations=3, tune=True, tune_iterations=4)
    untuned = loaded.invert(photo, iterations=3)
    own, other = (loaded.edit(face, part="hair", from_seed=7) for face in (found, untuned))
    file = out / "me-latent.safetensors"
    back = zoogan.load(part_run).edit(file, part="hair", from_seed=7)
    assert torch.equal(back.image, own.image) and not torch.equal(back.image, other.image)
    edits = ["--part", "hair", "--from-seed", "7", "--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit", str(part_run), str(file), *edits]) == 0
    assert np.array_equal(pictures(tmp_path / "edits")["me-edited.png"], pixels(own.image))
    two = tmp_path / "two"
    assert tune(part_run, paint(tmp_path / "he.png"), two) == 0
    with pytest.raises(ConfigError, match="not all of these latents have the same generator: edit them one by one"):
        loaded.edit([file, two / "he-latent.safetensors"], part="hair", from_seed=7)


def test_tuned_generators_that_do_not_fit_are_refused_by_name(part_run: Path, tmp_path: Path, refused: Says) -> None:
    photo, own, others = paint(tmp_path / "me.png"), tmp_path / "own", tmp_path / "others"
    other = write_run(tmp_path / "other", seed=1)
    assert tune(part_run, photo, own) == 0 and tune(other, photo, others) == 0
    latent, generator = own / "me-latent.safetensors", own / "me-generator.safetensors"
    edit = ("edit", part_run, latent, "--part", "hair", "--from-seed", 7)
    whole = generator.read_bytes()
    generator.write_bytes((others / generator.name).read_bytes())
    said = refused(*edit)
    assert f"{generator}: tuned from another generator" in said and "`zoo invert --tune` makes it anew" in said
    assert tune(part_run, photo, tmp_path / "longer", "--tune-iterations", "9") == 0
    generator.write_bytes((tmp_path / "longer" / generator.name).read_bytes())
    assert f"{generator}: not the generator that was tuned for this latent" in refused(*edit)
    generator.write_bytes(whole[:100])
    assert "damaged" in refused(*edit)
    generator.unlink()
    assert f"{generator}: no such file" in refused(*edit)
    said = refused("invert", part_run, photo, "--tune-iterations", "0")
    assert "--tune-iterations 0: expected 1 or more" in said and "give --tune as well" in said
