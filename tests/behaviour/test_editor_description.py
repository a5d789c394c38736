"""What `describe_editor` says of the editor of every method."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from support.untrained_runs import make_untrained_run
from zoogan import EditorDescription, describe_editor
from zoogan.cli import main  # noqa: F401  (its import turns shape checks off in this module)
from zoogan.editors import SynthesisEditor

BASE: dict[str, Any] = {
    "edits": "photos", "makes_faces": False, "layout": "none", "reads_photos": True, "domains": [],
    "own_labels": "none", "takes_own": False, "reference": "none", "takes_whole_reference": False, "drive": "none",
    "donors": [], "takes_seed": False, "takes_strength": True, "truncates": [], "makes_masks": False,
    "makes_segmentations": False, "makes_steps": False, "keeps_background": False, "templates": 0,
}  # fmt: skip
DRAWN_STYLE: dict[str, Any] = {"reference": "photo", "takes_seed": True, "truncates": ["edits"]}
LAYOUTS: dict[str, Any] = {"makes_segmentations": True, "takes_seed": True}
EXPECTED: dict[str, dict[str, Any]] = {
    "sagan": {"own_labels": "photo", "makes_masks": True},
    "stargan": {"own_labels": "photo"},
    "stargan-v2": {**DRAWN_STYLE, "domains": ["Black_Hair", "Blond_Hair", "Brown_Hair"]},
    "smile-layout": {
        **LAYOUTS, "edits": "layouts", "layout": "needed", "reads_photos": False, "own_labels": "layout",
        "takes_own": True, "reference": "layout", "takes_whole_reference": True, "truncates": ["edits"],
    },
    "smile": {
        **LAYOUTS, "makes_faces": True, "layout": "optional", "own_labels": "photo", "takes_own": True,
        "reference": "photo", "takes_whole_reference": True, "donors": ["seed", "photo"],
        "truncates": ["edits", "samples"], "keeps_background": True,
    },
    "smile-image": {
        **LAYOUTS, "makes_faces": True, "layout": "needed", "donors": ["seed"], "truncates": ["edits", "samples"],
    },
    "stylegan2": {"edits": "latents", "makes_faces": True, "truncates": ["samples"]},
    "semantic-stylegan": {
        "edits": "latents", "makes_faces": True, "truncates": ["samples"], "makes_segmentations": True,
        "donors": ["seed", "photo"],
    },
    "sd-gan": {
        "edits": "latents", "makes_faces": True, "truncates": ["samples"], "makes_steps": True,
        "own_labels": "latents",
    },
    "sd-gan-joint": {"own_labels": "photo", "makes_faces": True, "truncates": ["samples"]},
}  # fmt: skip


@pytest.mark.parametrize("method", EXPECTED)
def test_description_tells_what_each_method_can_do(method: str) -> None:
    run = make_untrained_run(method)
    description = describe_editor(run)
    values = json.loads(description.model_dump_json())
    expected = BASE | EXPECTED[method]
    templates = values["templates"] if method == "sd-gan" else 0
    assert {name: values[name] for name in expected} == expected | {"templates": templates}
    assert values["method"] == method and values["image_size"] == run.facts.image_size
    assert [one["name"] for one in values["attributes"]] == list(run.editor.attributes)
    assert bool(values["parts"]) == bool(run.editor.parts)
    assert EditorDescription.model_validate(values) == description


def test_description_of_attributes_and_parts() -> None:
    sd_gan = describe_editor(make_untrained_run("sd-gan"))
    assert sd_gan.templates > 0 and all(one.has_offset and one.is_graded for one in sd_gan.attributes)
    layouts = describe_editor(make_untrained_run("smile-layout"))
    assert not any(one.is_graded for one in layouts.attributes)
    hat = next(one for one in layouts.attributes if one.name == "Wearing_Hat")
    assert hat.clears == tuple(make_untrained_run("smile-layout").editor.clears["Wearing_Hat"])
    semantic = {part.name: part for part in describe_editor(make_untrained_run("semantic-stylegan")).parts}
    assert semantic["hair"].kinds == ("shape", "texture") and semantic["background"].colour == "#222226"
    assert semantic["coarse"].colour is None  # rows of all parts, which no segmentation shows
    assert describe_editor(make_untrained_run("stargan-v2")).exclusive == (("Black_Hair", "Blond_Hair", "Brown_Hair"),)


def test_generated_faces_show_attributes_as_their_latents_lie() -> None:
    run = make_untrained_run("stylegan2", "Smiling")
    editor = run.editor
    assert isinstance(editor, SynthesisEditor) and describe_editor(run).own_labels == "latents"
    latents = torch.zeros(4, editor.generator.rows, editor.generator.style_dim)
    latents[:, :, 0] = torch.tensor([-3.0, -1.0, 0.5, 9.0])[:, None]
    assert editor.measure_attributes(latents).flatten().tolist() == [0.0, 0.0, 0.75, 1.0]
    assert describe_editor(make_untrained_run("stylegan2")).own_labels == "none"
