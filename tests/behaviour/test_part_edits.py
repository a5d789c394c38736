"""Edits by parts, as a person asks for them: parts of another face, of a kind only, and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import zoogan
from support.part_runs import RUN_PARTS, Says, pictures, pixels
from support.style_runs import paint
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.pictures.palette import colour_segmentation
from zoogan.runs.loaded import LoadedRun

# ---- edits ----


def test_parts_come_from_another_face(part_run: Path, loaded_parts: LoadedRun, tmp_path: Path) -> None:
    out = tmp_path / "edits"
    options = ["--part", "hair", "--part", "glasses", "--from-seed", "7", "--segmentation"]
    assert main(["edit", str(part_run), "--seed", "3", *options, "--out", str(out), "--device", "cpu"]) == 0
    own, other = loaded_parts.sample(seed=3), loaded_parts.synthesis_editor.draw_latents([7])
    latents = own.extras["latents"].clone()
    latents[:, 5:9] = other[:, 5:9]  # after the shared row, two rows a part
    wanted = loaded_parts.synthesis_editor.synthesise(latents, loaded_parts.synthesis_editor.draw_noise([3]))
    assert wanted.segmentation is not None and not torch.equal(wanted.image, own.image)
    written = pictures(out)
    assert list(written) == ["seed-3-edited.png", "seed-3-made.png", "seed-3-segmentation.png"]
    assert np.array_equal(written["seed-3-made.png"], pixels(own.image))
    assert np.array_equal(written["seed-3-edited.png"], pixels(wanted.image))
    assert np.array_equal(
        written["seed-3-segmentation.png"], pixels(colour_segmentation(wanted.segmentation, len(RUN_PARTS)))
    )
    edit = loaded_parts.edit(own, part=["hair", "glasses"], from_seed=7)
    assert torch.equal(edit.image, wanted.image) and torch.equal(edit.extras["latents"], latents)
    torch.testing.assert_close(loaded_parts.edit(own, part=["hair", "glasses"], donor=other).image, wanted.image)
    assert torch.equal(loaded_parts.edit(own, part="hair", from_seed=7, strength=0.0).image, own.image)
    half = loaded_parts.edit(own, part=["hair", "glasses"], from_seed=7, strength=0.5).extras["latents"]
    torch.testing.assert_close(half, (own.extras["latents"] + latents) / 2)


def test_only_a_kind_of_latent_comes(loaded_parts: LoadedRun) -> None:
    own, other = loaded_parts.sample(2, seed=3), loaded_parts.sample(2, seed=8).extras["latents"]
    edit = loaded_parts.edit(own, part="face", only="texture", donor=other)
    changed = (edit.extras["latents"] != own.extras["latents"]).any(2).any(0).tolist()
    assert [row for row, differs in enumerate(changed) if differs] == [4]
    assert torch.equal(edit.extras["latents"][:, 4], other[:, 4]), "each face from its own donor"
    before, after = (loaded_parts.synthesis_editor.generator(face.extras["latents"]) for face in (own, edit))
    assert before.coarse is not None and after.coarse is not None
    assert torch.equal(before.coarse, after.coarse) and not torch.equal(before.image, after.image)
    shape = loaded_parts.edit(own, part="coarse", only="shape", donor=other[:1]).extras["latents"]
    assert torch.equal(shape[:, 0], other[:1, 0].expand(2, -1)) and torch.equal(
        shape[:, 1:], own.extras["latents"][:, 1:]
    )


def test_files_of_latents_and_photos_give_and_take_parts(
    part_run: Path, loaded_parts: LoadedRun, tmp_path: Path
) -> None:
    base = ["--out", str(tmp_path / "faces"), "--device", "cpu"]
    assert main(["sample", str(part_run), "-n", "2", "--seed", "4", *base]) == 0
    own, other = (tmp_path / f"faces/seed-{k}-latent.safetensors" for k in (4, 5))
    out = ["--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit", str(part_run), str(own), "--part", "hair", "--from", str(other), *out]) == 0
    wanted = loaded_parts.edit(loaded_parts.sample(seed=4), part="hair", from_seed=5)
    assert np.array_equal(pictures(tmp_path / "edits")["seed-4-edited.png"], pixels(wanted.image))
    photo = paint(tmp_path / "me.png")
    assert main(["edit", str(part_run), str(own), "--part", "hair", "--from", str(photo), *out]) == 0
    wanted = loaded_parts.edit(loaded_parts.sample(seed=4), part="hair", donor=photo)
    assert np.array_equal(pictures(tmp_path / "edits")["seed-4-edited.png"], pixels(wanted.image))
    assert main(["edit", str(part_run), str(photo), "--part", "hair", "--from-seed", "5", *out]) == 0
    wanted = loaded_parts.edit(loaded_parts.invert(photo), part="hair", from_seed=5)
    assert np.array_equal(pictures(tmp_path / "edits")["me-edited.png"], pixels(wanted.image))


def test_a_donor_is_truncated_as_the_faces_are(part_run: Path, loaded_parts: LoadedRun, tmp_path: Path) -> None:
    options = ["--truncation", "0.5", "--part", "hair", "--from-seed", "7", "--out", str(tmp_path), "--device", "cpu"]
    assert main(["edit", str(part_run), "--seed", "3", *options]) == 0
    other = loaded_parts.sample(seed=7, truncation=0.5)
    wanted = loaded_parts.edit(loaded_parts.sample(seed=3, truncation=0.5), part="hair", donor=other)
    assert np.array_equal(pictures(tmp_path)["seed-3-edited.png"], pixels(wanted.image))


def test_parts_and_attributes_together(part_run: Path) -> None:
    from zoogan.editors.directions import Direction

    loaded = zoogan.load(part_run)
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


def test_mistakes_from_python(loaded_parts: LoadedRun, attribute_run: Path, face_run: Path) -> None:
    made = loaded_parts.sample(3)
    for options, expected in (
        ({"part": "hair"}, "hair: name the face whose they are by from_seed, or give one as donor"),
        ({"part": "hair", "from_seed": 1, "donor": made}, "leave one of them out"),
        ({"part": "hair", "from_seed": "x"}, "from_seed: expected a whole number, got 'x'"),
        ({"from_seed": 1}, "say of which part"),
        ({"donor": made}, "say which part of it to take: coarse, background"),
        ({"part": "hair", "donor": loaded_parts.sample(2)}, "donor: got 2 faces, expected 1, or 3, one for each"),
        ({"part": "hair", "donor": torch.zeros(1, 3, 8)}, "expected floats of shape"),
    ):
        with pytest.raises(ConfigError, match=expected):
            loaded_parts.edit(made, **options)
    whole = zoogan.load(face_run)
    with pytest.raises(ConfigError, match="in one piece"):
        whole.edit(whole.sample(), donor=whole.sample())
    with pytest.raises(ConfigError, match="takes no parts"):
        zoogan.load(attribute_run).edit(torch.zeros(1, 3, 32, 32), donor=made, Eyeglasses=1)
