"""Re-enactment: the game of one domain, its recipes, and a clip that drives a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from support.part_runs import ErrorReader
from support.pictures import make_pixels, save_picture
from support.reenactment import RECIPE, compose_tiny, isolate_recipe, make_run
from support.runs import REGISTRY
from zoogan.cli import main
from zoogan.composition.build import compose, expect_facts
from zoogan.conditions import SingleCondition
from zoogan.config import compose_config
from zoogan.config.layers import choose_recipe
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Need
from zoogan.runs.folder import RunFolder
from zoogan.testing import CHECKS
from zoogan.training.summary import suggest_commands


def test_faces_without_labels_are_one_domain() -> None:
    condition = SingleCondition(None, Facts(image_size=32))
    layout = torch.zeros(4, 19, 8, 8, dtype=torch.uint8)
    assert torch.equal(condition.get_domains({"layout": layout}), torch.ones(4, 1))
    assert condition.parse({}).attributes == {}
    with pytest.raises(ConfigError, match=r"data\.attributes=Male: .*set data\.attributes=\[\]"):
        SingleCondition(None, Facts(image_size=32, attributes=("Male",)))


def test_game_reads_no_labels_and_references_only_for_their_style() -> None:
    config = compose_tiny("smile-layout")
    game = compose(config, expect_facts(config), REGISTRY).game
    assert game.needs == {"source": Need(("layout",)), "reference": Need(("layout",))}
    latent = config.model_copy(update={"passes": ("latent",)})
    assert compose(latent, expect_facts(latent), REGISTRY).game.needs == {"source": Need(("layout",))}


def test_recipes_of_attributes_stay_the_default() -> None:
    for method in ("smile", "smile-layout"):
        assert choose_recipe(REGISTRY.methods[method], "drawn") == "drawn-32"
    whole = compose_config(REGISTRY.methods["smile"], REGISTRY, recipe=RECIPE)
    assert whole.stages.layout.recipe == RECIPE and whole.data.attributes == ()  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", ["smile", "smile-layout"])
def test_recipe_passes_conformance(method: str, check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    check(method, isolate_recipe(method, tmp_path))


@pytest.mark.slow
def test_game_without_references_passes_conformance(tmp_path: Path) -> None:
    registry = isolate_recipe("smile-layout", tmp_path)
    with (tmp_path / f"{RECIPE}.yaml").open("a") as file:
        file.write("passes: [latent]\n")
    for check in CHECKS:
        if check.__name__ in ("check_rehearsal", "check_updates", "check_resume"):
            check("smile-layout", registry)


def test_clip_drives_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("smile", tmp_path / "run")
    RunFolder(tmp_path / "run").write_config(run.config, run.facts)
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: run)
    photo, clip, out = save_picture(tmp_path / "me.png", size=(32, 32)), tmp_path / "clip.gif", tmp_path / "out.gif"
    noise = np.random.default_rng(0)
    frames = [Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=40, loop=0)
    command = ["edit", str(tmp_path / "run"), str(photo), "--drive", str(clip), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    with Image.open(clip) as film:
        read = [frame.convert("RGB").copy() for frame in ImageSequence.Iterator(film)]
    with Image.open(out) as film:
        edited = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(film)]
    wanted = [make_pixels(run.edit(photo, drive=frame).image).astype(int) for frame in read]
    assert len(edited) == 3 and np.abs(wanted[0] - wanted[1]).mean() > 5
    for k, frame in enumerate(edited):
        distances = [np.abs(frame - one).mean() for one in wanted]
        assert distances[k] < min(distances[:k] + distances[k + 1 :]) / 2, "up to the 256 colours of a GIF"
    assert main([*command[:2], str(clip), *command[5:]]) == 2, "a clip alone asks for nothing"
    assert main([*command[:2], "--seed", "1", *command[3:]]) == 2, "a clip without a photo drives nothing"
    assert suggest_commands(run.editor, Path("r"), ()) == [
        "  drive a face zoo edit r PHOTO --drive CLIP.mp4", "  see edits    zoo edit r --grid --out sheet.png",
    ]  # fmt: skip


def test_layouts_are_driven_by_layouts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_error: ErrorReader
) -> None:
    folder = tmp_path / "run"
    run = make_run("smile-layout", folder)
    RunFolder(folder).write_config(run.config, run.facts)
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: run)
    photo, clip = save_picture(tmp_path / "me.png", size=(32, 32)), tmp_path / "clip.gif"
    Image.new("RGB", (32, 32)).save(clip)
    error = read_error("edit", folder, photo, "--layout", photo, "--drive", clip)
    assert "this run edits the map of the parts of a face, and a film has none" in error
    assert "--drive: a film drives one photo" in read_error("edit", folder, "--layout", photo, "--drive", clip)
    assert "edits no attributes, and edits are measured by attribute" in read_error("evaluate", folder)
