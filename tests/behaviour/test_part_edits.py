"""Edits by parts, as a person asks for them: parts of another face, of a kind only, and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import zoogan
from support.part_runs import RUN_PARTS, ErrorReader
from support.pictures import make_pixels, read_pictures, save_picture
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures.palette import colour_segmentation
from zoogan.runs.loaded import LoadedRun

# ---- edits ----


def test_edit_takes_parts_from_another_face(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path
) -> None:
    out = tmp_path / "edits"
    options = ["--part", "hair", "--part", "glasses", "--from-seed", "7", "--segmentation"]
    assert main(["edit", str(untrained_part_run), "--seed", "3", *options, "--out", str(out), "--device", "cpu"]) == 0
    own, other = loaded_part_run.sample(seed=3), loaded_part_run.synthesis_editor.draw_latents([7])
    latents = own.extras["latents"].clone()
    latents[:, 5:9] = other[:, 5:9]  # after the shared row, two rows a part
    wanted = loaded_part_run.synthesis_editor.synthesise(latents, loaded_part_run.synthesis_editor.draw_noise([3]))
    assert wanted.segmentation is not None and not torch.equal(wanted.image, own.image)
    written = read_pictures(out)
    assert list(written) == ["seed-3-edited.png", "seed-3-made.png", "seed-3-segmentation.png"]
    assert np.array_equal(written["seed-3-made.png"], make_pixels(own.image))
    assert np.array_equal(written["seed-3-edited.png"], make_pixels(wanted.image))
    assert np.array_equal(
        written["seed-3-segmentation.png"], make_pixels(colour_segmentation(wanted.segmentation, len(RUN_PARTS)))
    )
    edit = loaded_part_run.edit(own, part=["hair", "glasses"], from_seed=7)
    assert torch.equal(edit.image, wanted.image) and torch.equal(edit.extras["latents"], latents)
    torch.testing.assert_close(loaded_part_run.edit(own, part=["hair", "glasses"], donor=other).image, wanted.image)
    assert torch.equal(loaded_part_run.edit(own, part="hair", from_seed=7, strength=0.0).image, own.image)
    half = loaded_part_run.edit(own, part=["hair", "glasses"], from_seed=7, strength=0.5).extras["latents"]
    torch.testing.assert_close(half, (own.extras["latents"] + latents) / 2)


def test_edit_takes_only_shape_or_texture(loaded_part_run: LoadedRun) -> None:
    own, other = loaded_part_run.sample(2, seed=3), loaded_part_run.sample(2, seed=8).extras["latents"]
    edit = loaded_part_run.edit(own, part="face", only="texture", donor=other)
    changed = (edit.extras["latents"] != own.extras["latents"]).any(2).any(0).tolist()
    assert [row for row, differs in enumerate(changed) if differs] == [4]
    assert torch.equal(edit.extras["latents"][:, 4], other[:, 4]), "each face from its own donor"
    before, after = (loaded_part_run.synthesis_editor.generator(face.extras["latents"]) for face in (own, edit))
    assert before.coarse is not None and after.coarse is not None
    assert torch.equal(before.coarse, after.coarse) and not torch.equal(before.image, after.image)
    shape = loaded_part_run.edit(own, part="coarse", only="shape", donor=other[:1]).extras["latents"]
    assert torch.equal(shape[:, 0], other[:1, 0].expand(2, -1)) and torch.equal(
        shape[:, 1:], own.extras["latents"][:, 1:]
    )


@pytest.mark.slow
def test_part_edits_accept_latent_files_and_photos(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path
) -> None:
    base = ["--out", str(tmp_path / "faces"), "--device", "cpu"]
    assert main(["sample", str(untrained_part_run), "-n", "2", "--seed", "4", *base]) == 0
    own, other = (tmp_path / f"faces/seed-{k}-latent.safetensors" for k in (4, 5))
    out = ["--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit", str(untrained_part_run), str(own), "--part", "hair", "--from", str(other), *out]) == 0
    wanted = loaded_part_run.edit(loaded_part_run.sample(seed=4), part="hair", from_seed=5)
    assert np.array_equal(read_pictures(tmp_path / "edits")["seed-4-edited.png"], make_pixels(wanted.image))
    photo = save_picture(tmp_path / "me.png")
    assert (
        main(["edit", str(untrained_part_run), str(own), "--part", "hair", "--from", str(photo), "--overwrite", *out])
        == 0
    )
    wanted = loaded_part_run.edit(loaded_part_run.sample(seed=4), part="hair", donor=photo)
    assert np.array_equal(read_pictures(tmp_path / "edits")["seed-4-edited.png"], make_pixels(wanted.image))
    part = ["--part", "hair", "--from-seed", "5", "--crop"]
    assert main(["edit", str(untrained_part_run), str(photo), *part, *out]) == 0
    wanted = loaded_part_run.edit(loaded_part_run.invert(photo), part="hair", from_seed=5)
    assert np.array_equal(read_pictures(tmp_path / "edits")["me-edited.png"], make_pixels(wanted.image))


def test_donor_face_uses_the_same_truncation(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path
) -> None:
    options = ["--truncation", "0.5", "--part", "hair", "--from-seed", "7", "--out", str(tmp_path), "--device", "cpu"]
    assert main(["edit", str(untrained_part_run), "--seed", "3", *options]) == 0
    other = loaded_part_run.sample(seed=7, truncation=0.5)
    wanted = loaded_part_run.edit(loaded_part_run.sample(seed=3, truncation=0.5), part="hair", donor=other)
    assert np.array_equal(read_pictures(tmp_path)["seed-3-edited.png"], make_pixels(wanted.image))


def test_part_and_attribute_edits_combine(untrained_part_run: Path) -> None:
    from zoogan.editors.directions import Direction

    loaded = zoogan.load(untrained_part_run)
    normal = torch.nn.functional.normalize(torch.linspace(-1, 1, 8, dtype=torch.float64), dim=0)
    loaded.synthesis_editor.set_directions({"Red": Direction(normal, 0.1, normal, (-1.0, 1.0), {})})
    own = loaded.sample(seed=3)
    edit = loaded.edit(own, part="hair", from_seed=7, Red=1)
    red = loaded.synthesis_editor.directions["Red"]
    assert float(red.measure_distance(edit.extras["latents"])) == pytest.approx(red.get_typical_distance(1.0), abs=1e-4)
    parts = loaded.edit(own, part="hair", from_seed=7)
    moved = edit.extras["latents"] - parts.extras["latents"]
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved)), "every row by as much"
    torch.testing.assert_close(loaded.edit(parts, Red=1).image, edit.image, atol=1e-5, rtol=0)


# ---- mistakes in edits ----


def test_unavailable_parts_are_reported(
    untrained_part_run: Path, stylegan2_run: Path, sagan_run: Path, read_error: ErrorReader, tmp_path: Path
) -> None:
    seed = ("edit", untrained_part_run, "--seed", 1)
    said = read_error(*seed, "--part", "hairs", "--part", "nose", "--from-seed", 7, "--attribute", "Red=1")
    assert len(said.strip().splitlines()) == 3
    assert "part hairs: no part of that name, did you mean 'hair'?; known: coarse, background, face, hair" in said
    assert "part nose: no part of that name" in said and "Red: no direction of that name" in said
    said = read_error(*seed, "--part", "hair", "--from-seed", 7, "--only", "textures")
    assert "no kind of latent is called 'textures', did you mean 'texture'?" in said
    said = read_error(*seed, "--part", "coarse", "--from-seed", 7, "--only", "texture")
    assert "part coarse: got texture, expected shape, which is all that it has" in said
    assert "--part hair: name the face to take it from, with --from-seed SEED or --from FILE" in read_error(
        *seed, "--part", "hair"
    )
    said = read_error(*seed, "--only", "shape", "--from-seed", 7, "--from", "x.png")
    assert len(said.strip().splitlines()) == 4 and "--only shape: name the part to take" in said and "leave one" in said
    said = read_error(*seed, "--part", "hair", "--from", tmp_path / "none.safetensors")
    assert "none.safetensors: no such file" in said
    said = read_error("edit", stylegan2_run, "--seed", 1, "--part", "hair", "--from-seed", 7, "--segmentation")
    assert "this run makes faces in one piece" in said and "--segmentation: this run" in said
    photo = save_picture(tmp_path / "me.png")
    for options in (("--part", "hair", "--from-seed", 7), ("--attribute", "Eyeglasses=1", "--segmentation")):
        assert "this run edits whole photos" in read_error("edit", sagan_run, photo, *options)


def test_grid_names_unsupported_options(tmp_path: Path, read_error: ErrorReader) -> None:
    given = ("--segmentation", "--strength", 0.5, "--threshold", 0.5, "--truncation", 0.5, "--part", "hair")
    said = read_error("edit", tmp_path, "--grid", *given, "--from-seed", 7, "--out", "grid.png")
    assert "leave out --part, --from-seed, --segmentation, --strength, --threshold, --truncation\n" in said
    said = read_error("edit", tmp_path, "--grid", "--attribute", "Smiling=1", "--seed", 0, "--only", "shape")
    assert "leave out --attribute, --only, --seed\n" in said
    assert "leave out --root\n" in read_error("edit", tmp_path, "me.png", "--grid", "--root", tmp_path)


def test_option_names_are_no_attributes(untrained_part_run: Path, sagan_run: Path, read_error: ErrorReader) -> None:
    words = ("part=hair", "only=shape", "from_seed=7")
    said = read_error(
        "edit", untrained_part_run, "--seed", 1, *(part for word in words for part in ("--attribute", word))
    )
    assert "--attribute part=hair: part is no attribute; use --part NAME\n" in said
    assert "--attribute only=shape: only is no attribute; use --only KIND\n" in said
    assert "--attribute from_seed=7: from_seed is no attribute; use --from-seed SEED\n" in said
    for run in (untrained_part_run, sagan_run):
        said = read_error("edit", run, "--seed", 1, "--attribute", "donor=x.png", "--attribute", "strength=2")
        assert "donor is no attribute; use --from FILE" in said and "use --strength NUMBER" in said


def test_python_mistakes_raise_clear_errors(loaded_part_run: LoadedRun, sagan_run: Path, stylegan2_run: Path) -> None:
    made = loaded_part_run.sample(3)
    for options, expected in (
        ({"part": "hair"}, "hair: name the face to take from with from_seed, or give it as donor"),
        ({"part": "hair", "from_seed": 1, "donor": made}, "leave one of them out"),
        ({"part": "hair", "from_seed": "x"}, "from_seed: expected a whole number, got 'x'"),
        ({"from_seed": 1}, "name the part: `only` and `from_seed` need `part`"),
        ({"donor": made}, "name the part to take from it: coarse, background"),
        ({"part": "hair", "donor": loaded_part_run.sample(2)}, "donor: got 2 faces, expected 1, or 3, one for each"),
        ({"part": "hair", "donor": torch.zeros(1, 3, 8)}, "expected floats of shape"),
    ):
        with pytest.raises(ConfigError, match=expected):
            loaded_part_run.edit(made, **options)
    whole = zoogan.load(stylegan2_run)
    with pytest.raises(ConfigError, match="in one piece"):
        whole.edit(whole.sample(), donor=whole.sample())
    with pytest.raises(ConfigError, match="takes no parts"):
        zoogan.load(sagan_run).edit(torch.zeros(1, 3, 32, 32), donor=made, Eyeglasses=1)
