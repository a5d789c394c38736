"""The editor of attribute editing: predicted attributes, exclusive groups and edit sheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from zoogan.composition.build import compose
from zoogan.config import parse_sets
from zoogan.interfaces import Request
from zoogan.pictures.photo import normalize_image
from zoogan.plugins.host import get_zoo
from zoogan.runs.folder import RunFolder
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.opening import load
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts
from zoogan.testing.tensors import make_faces
from zoogan.workflows.edit_grid import read_labelled_photos

DOMAINS = ("Angry", "Happy", "Sad")


@pytest.mark.parametrize(("use", "expected"), [("softmax", [[1.0, 0.0, 0.0]] * 2), ("binary", [[0.0, 0.0, 0.0]] * 2)])
def test_predicted_attributes_follow_the_classification_loss(use: str, expected: list[list[float]]) -> None:
    registry = get_zoo().registry
    sets = {"classification": {"use": use}, "data": {"attributes": list(DOMAINS)}}
    config = make_tiny_config("stargan", registry, sets)
    composition = compose(config, make_tiny_facts(config), registry)
    discriminator = composition.networks["discriminator"]
    image = make_faces(0, 2, 16)
    logits = torch.tensor([-1.0, -2.0, -3.0]).expand(2, -1)  # no logit is above 0, but one domain is the most likely
    discriminator.register_forward_hook(lambda module, args, verdict: verdict._replace(attributes=logits))
    editor = composition.game.make_editor(composition.networks.eval(), attributes=DOMAINS)
    assert editor.resolve(Request({"Happy": 0.0}), image)["attributes"].tolist() == expected


EXCLUSIVE = [
    {"classification": {"use": "softmax"}},  # exactly one of all
    parse_sets(["condition.exclusive=Angry,Happy,Sad"]),
    parse_sets(["condition.exclusive=[[Angry, Happy, Sad]]"]),
]


@pytest.mark.parametrize("settings", EXCLUSIVE)
def test_loaded_run_knows_its_exclusive_attributes(tmp_path: Path, settings: dict[str, Any]) -> None:
    registry = get_zoo().registry
    config = make_tiny_config("stargan", registry, settings | {"data": {"attributes": list(DOMAINS)}})
    facts = make_tiny_facts(config)
    composition = compose(config, facts, registry)
    folder = RunFolder(tmp_path)
    folder.write_config(config, facts)
    folder.write_model(config, facts, composition.networks, composition.game)
    editor: Any = load(tmp_path, registry=registry).editor
    assert editor.exclusive == (DOMAINS,)
    angry = torch.tensor([[1.0, 0.0, 0.0]])
    request = editor.condition.parse({"Happy": 1})
    assert editor.resolve(request, make_faces(0, 1, 16), angry)["attributes"].tolist() == [[0.0, 1.0, 0.0]]
    targets = [edit["attributes"][0].tolist() for _, edit in editor.condition.list_single_edits(angry)]
    assert targets == torch.eye(3).tolist()


def test_photos_on_a_sheet_are_cropped_once_and_labelled(tmp_path: Path) -> None:
    registry = get_zoo().registry
    config = make_tiny_config("stargan", registry, {"data": {"attributes": list(DOMAINS)}})
    facts = make_tiny_facts(config).model_copy(update={"crop": 0.5})
    composition = compose(config, facts, registry)
    editor: Any = composition.game.make_editor(composition.networks.eval(), attributes=DOMAINS)
    predict_labels, images = editor.predict_labels, []
    editor.predict_labels = lambda image: (images.append(image), predict_labels(image))[1]
    run = LoadedRun(config, facts, editor)
    pixels = torch.randint(0, 256, (40, 40, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(tmp_path / "me.png")
    sample = read_labelled_photos(run, [tmp_path / "me.png"])
    prepared = run.prepare_images(tmp_path / "me.png")
    assert torch.equal(normalize_image(sample["image"]), prepared)
    assert torch.equal(images[0], prepared) and torch.equal(sample["attributes"], predict_labels(prepared))
