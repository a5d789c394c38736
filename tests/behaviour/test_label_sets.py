"""Label sets: the built-in ones, how a person names one, and what is said of a wrong one."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from support.toy_faces import ToyJudge
from zoogan.cli.show import list_settings
from zoogan.config import validate_model
from zoogan.data.config import CelebAMaskHQData, DrawnData, FolderData
from zoogan.data.drawn import CLASSES
from zoogan.data.drawn.source import DrawnSource
from zoogan.data.label_sets import LabelSet, list_label_sets, load_label_set, read_label_set
from zoogan.data.sources.segmentation_files import make_part_table, map_parts, paint_parts
from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import choose_source
from zoogan.evaluation.metrics.segmentation import Segmentation
from zoogan.evaluation.study import open_study
from zoogan.facts import Facts
from zoogan.interfaces.metric import Unavailable
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts
from zoogan.training.prepare import describe_source

# SemanticStyleGAN's own words: painted in this order, later wins.
OFFICIAL = (
    ("skin", 1), ("eye_g", 10), ("l_eye", 2), ("r_eye", 2), ("l_brow", 3), ("r_brow", 3), ("mouth", 4), ("l_lip", 4),
    ("u_lip", 4), ("nose", 5), ("hair", 7), ("l_ear", 6), ("r_ear", 6), ("neck", 8), ("neck_l", 8), ("cloth", 9),
    ("hat", 11), ("ear_r", 12),
)  # fmt: skip
SMALL: dict[str, Any] = {
    "names": ["nothing", "face", "hair"], "classes": ["bg", "skin", "nose", "hair"],
    "merges": {"face": ["skin", "nose"]},
}  # fmt: skip


def test_celebamask_19_keeps_all_classes() -> None:
    kinds = load_label_set("celebamask-19")
    assert kinds.names == kinds.classes == CLASSES
    assert kinds.list_parts() == tuple(range(19)) and kinds.list_layers() == tuple(zip(CLASSES, range(19)))
    swapped = {4: 5, 5: 4, 6: 7, 7: 6, 8: 9, 9: 8}
    assert DrawnSource(DrawnData(faces=60, image_size=16)).mirrored_parts == tuple(swapped.get(k, k) for k in range(19))


def test_celebamask_13_has_semantic_stylegan_parts() -> None:
    kinds = load_label_set("celebamask-13")
    assert kinds.names == (
        "background", "face", "eye", "eyebrow", "mouth", "nose", "ear", "hair", "neck", "cloth", "glasses", "hat",
        "earring",
    )  # fmt: skip
    assert kinds.list_layers() == OFFICIAL
    part = dict(OFFICIAL)
    assert kinds.list_parts() == tuple(part.get(name, 0) for name in CLASSES)
    assert [kinds.names.index(name) for name in kinds.transparent] == [10, 12] and kinds.mirrored == ()


def test_later_masks_cover_earlier_ones() -> None:
    whole, grey = torch.full((2, 2), 255, dtype=torch.uint8), torch.full((2, 2), 254, dtype=torch.uint8)
    left = torch.tensor([[255, 0], [255, 0]], dtype=torch.uint8)
    assert paint_parts([(1, whole), (10, left), (2, grey)], 2).tolist() == [[10, 1], [10, 1]]
    assert paint_parts([(10, left), (1, whole)], 2).tolist() == [[1, 1], [1, 1]]
    assert paint_parts([], 2).tolist() == [[0, 0], [0, 0]]


def test_unmerged_part_is_the_class_of_its_name() -> None:
    kinds = LabelSet(**SMALL)
    assert kinds.list_parts() == (0, 1, 1, 2) and kinds.list_layers() == (("skin", 1), ("nose", 1), ("hair", 2))
    turned = LabelSet(**SMALL, order=("hair", "nose", "skin"))
    assert turned.list_parts() == kinds.list_parts() and turned.list_layers() == (("hair", 2), ("nose", 1), ("skin", 1))


def test_unused_classes_become_background() -> None:
    kinds = CelebAMaskHQData(label_set={"names": ["background", "skin", "hair"]}).label_set
    assert kinds.list_parts() == tuple({"skin": 1, "hair": 2}.get(name, 0) for name in CLASSES)
    assert kinds.list_layers() == (("background", 0), ("skin", 1), ("hair", 2))


def test_remapping_keeps_bytes_and_shape() -> None:
    labels = torch.arange(19, dtype=torch.uint8).reshape(1, 19, 1)
    parts = map_parts(labels, make_part_table(load_label_set("celebamask-13")))
    assert parts.dtype == torch.uint8 and parts.flatten().tolist() == list(load_label_set("celebamask-13").list_parts())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"merges": {"face": ["skin", "nose"], "hiar": ["hair"]}},
         r"merges: no part is called 'hiar', did you mean 'hair'"),
        ({"merges": {"face": ["skni", "nose"]}}, r"merges.face: no class is called 'skni', did you mean 'skin'"),
        ({"merges": {"face": ["skin", "hair"]}}, r"class 'hair' is painted as 'face' and as 'hair'"),
        ({"merges": {"face": []}}, r"no class is painted as 'face'"),
        ({"names": ["nothing", "face", "hair", "hat"]}, r"no class is painted as 'hat'"),
        ({"names": ["nothing", "face", "hair", "face"]}, r"names: 'face' is there twice"),
        ({"classes": ["bg", "skin", "nose", "hair", "bg"]}, r"classes: 'bg' is there twice"),
        ({"classes": []}, r"list all of its classes, in the order of their values"),
        ({"order": ["skin", "nose", "hat"]}, r"order: no class is called 'hat'"),
        ({"order": ["skin", "nose"]}, r"order: hair would never be painted"),
        ({"order": ["skin", "nose", "hair", "bg"]}, r"order: class 'bg' is painted as no part"),
        ({"order": ["skin", "nose", "hair", "skin"]}, r"order: 'skin' is there twice"),
        ({"transparent": ["skin"]}, r"transparent: no part is called 'skin'"),
        ({"transparent": ["hair", "hair"]}, r"transparent: 'hair' is there twice"),
        ({"mirrored": [["hair", "hare"]]}, r"mirrored: no part is called 'hare', did you mean 'hair'"),
        ({"mirrored": [["hair", "hair"]]}, r"mirrored: 'hair' swaps twice"),
        ({"mirrored": [["hair", "face"], ["face", "nothing"]]}, r"mirrored: 'face' swaps twice"),
    ],
)  # fmt: skip
def test_invalid_sources_are_reported(change: dict[str, Any], message: str) -> None:
    LabelSet(**SMALL)
    with pytest.raises(ValidationError, match=message):
        LabelSet(**{**SMALL, **change})


def test_label_set_problems_are_reported_at_once(tmp_path: Path) -> None:
    wrong = {**SMALL, "transparent": ["glass"], "mirrored": [["l", "r"]], "order": ["hat"]}
    values = {"source": "folder", "label_set": wrong, "batch": 0}
    with pytest.raises(ConfigError) as caught:
        validate_model(FolderData, values, get_zoo().registry, "data")
    lines = str(caught.value).splitlines()
    assert sum(line.startswith("data.label_set: ") for line in lines) == 5 and "data.batch" in str(caught.value)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(wrong))
    with pytest.raises(ConfigError) as caught:
        read_label_set(path)
    assert len(str(caught.value).splitlines()) == 5
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    "value, message",
    [
        ("celebamask-31", r"data.label_set: no label set is called 'celebamask-31', did you mean 'celebamask-\d+'"),
        ("nowhere/mine.yaml", r"data.label_set: nowhere.mine.yaml: cannot be read"),
        ({"names": ["a", "b"], "marges": {}}, r"data.label_set.marges: no such setting, did you mean 'merges'"),
        ({"names": ["only"]}, r"data.label_set.names"),
        ({"names": ["a", "b"], "classes": 5}, r"data.label_set.classes: .*got 5"),
        (7, r"data.label_set: expected a name \(celebamask-13, .*\), the path of a YAML file, or a mapping .*, got 7"),
        (
            "nofile.yaml",
            r"data.label_set: nofile.yaml: .*no such file.*; or one of the names celebamask-13, celebamask-19",
        ),
        ("celebamask_13.yaml", r"no such file, did you mean 'celebamask-13'"),
    ],
)
def test_unreadable_label_set_is_named(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate_model(FolderData, {"source": "folder", "label_set": value}, get_zoo().registry, "data")


def test_similar_label_set_file_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SMALL))
    with pytest.raises(ValidationError, match=r"mien.yaml: cannot be read: no such file, did you mean '.*mine.yaml'"):
        FolderData(label_set=str(tmp_path / "mien.yaml"))


def test_celebamask_sources_refuse_other_classes() -> None:
    for config in (DrawnData, CelebAMaskHQData):
        with pytest.raises(ValidationError, match=r"this source's are background, skin.*; the set is over bg, skin"):
            config(label_set=SMALL)
    assert FolderData(label_set=SMALL).label_set == LabelSet(**SMALL)


def test_run_stores_built_in_label_set_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"names": ["background", "face"], "merges": {"face": ["skin", "nose"]}}))
    config = CelebAMaskHQData(label_set=str(path))
    stored = config.model_dump(mode="json")
    path.unlink()
    assert CelebAMaskHQData.model_validate(yaml.safe_load(yaml.safe_dump(stored))) == config
    assert config.label_set.classes == CLASSES and config.label_set.get_classes("face") == ("skin", "nose")
    assert CelebAMaskHQData().model_dump(mode="json")["label_set"] == "celebamask-13"
    assert DrawnData().model_dump(mode="json")["label_set"] == "celebamask-19"
    rows = {row["key"]: row for row in list_settings(DrawnData(), "data.")}
    assert rows["data.label_set"]["value"] == rows["data.label_set"]["default"] == "celebamask-19"
    assert "name, a YAML file" in rows["data.label_set"]["doc"]


def test_built_in_label_sets_are_valid() -> None:
    assert set(list_label_sets()) >= {"celebamask-19", "celebamask-13"}
    for name in list_label_sets():
        assert len(load_label_set(name).list_parts()) == len(load_label_set(name).classes)


@pytest.mark.slow
def test_drawn_faces_use_the_label_set() -> None:
    whole, merged = (
        DrawnSource(DrawnData(image_size=32, faces=60, label_set=name)) for name in ("celebamask-19", "celebamask-13")
    )
    table = torch.tensor(load_label_set("celebamask-13").list_parts(), dtype=torch.uint8)
    for _ in range(2):  # drawn, and then from the cache
        parts, classes = (source.read("train", range(60))["segmentation"] for source in (merged, whole))
        assert parts.dtype == torch.uint8 and torch.equal(parts, table[classes.long()])
    redrawn, expected = (source.redraw("train", range(9), Eyeglasses=1.0)["segmentation"] for source in (merged, whole))
    assert torch.equal(redrawn, table[expected.long()]) and bool((redrawn == 10).any())
    assert torch.equal(merged.read("train", [3])["image"], whole.read("train", [3])["image"])


def test_facts_store_the_parts() -> None:
    facts = describe_source(DrawnSource(DrawnData(image_size=16, faces=60, label_set="celebamask-13")))
    assert len(facts.parts) == 13 and facts.transparent == ("glasses", "earring")
    assert Facts.model_validate_json(facts.model_dump_json()) == facts
    assert Facts.model_validate({"image_size": 16}).parts == ()  # of runs that were made before
    config = make_tiny_config("sagan", get_zoo().registry, {"data": {"label_set": "celebamask-13"}})
    assert make_tiny_facts(config).parts == facts.parts and make_tiny_facts(config).transparent == facts.transparent


def test_judge_of_other_parts_measures_no_segmentation() -> None:
    class Reads(ToyJudge):
        attributes = ("Male",)
        parts = load_label_set("celebamask-19").names

        def read_parts(self, image: Tensor) -> Tensor:  # type: ignore[override]
            return torch.zeros(len(image), 16, 16, dtype=torch.int64)

    for kinds, fits in (("celebamask-19", True), ("celebamask-13", False)):
        source = DrawnSource(DrawnData(image_size=16, faces=60, held_out=4, attributes=("Male",), label_set=kinds))
        study = open_study(source, "drawn", device=torch.device("cpu"), judge=Reads())
        with nullcontext() if fits else pytest.raises(Unavailable, match="reads 19 parts, 13 are needed"):
            Segmentation().start(study)


def test_unknown_value_message_has_one_line_per_problem() -> None:
    with pytest.raises(ValidationError) as caught:
        LabelSet(names=("a", "b"), transparent=("c",), mirrored=(("a", "d"),))
    assert len(re.findall(r"no part is called", str(caught.value))) == 2


# ---- measured on other faces ----


def measured_on(trained: Any, data: str | None, **sets: Any) -> tuple[Any, list[str]]:
    """The source on which a run is measured, and notes."""
    facts = SimpleNamespace(image_size=16, attributes=trained.attributes)
    run: Any = SimpleNamespace(config=SimpleNamespace(data=trained), facts=facts)
    return choose_source(get_zoo().registry, run, data, None if data in (None, "drawn") else Path("faces"), sets)


def test_other_source_uses_the_run_label_set() -> None:
    nineteen, thirteen = (load_label_set(f"celebamask-{count}") for count in (19, 13))
    own = nineteen.model_copy(update={"transparent": ("hair",)})  # no name of its own: kept as a mapping
    usual = {"celebamask_hq": thirteen, "drawn": nineteen, "folder": None}
    for name, label_set in {"celebamask-19": nineteen, "celebamask-13": thirteen, "background, skin": own}.items():
        trained = DrawnData(image_size=16, attributes=("Male",), label_set=label_set)
        config, notes = measured_on(trained, None)
        assert config.label_set == label_set
        assert not notes, "its own data need no word"
        for data, theirs in usual.items():
            config, notes = measured_on(trained, data)
            assert config.label_set == label_set
            assert len(notes) == (label_set != theirs)
            assert all(f"({name}" in note and f"is taken for the {data} faces" in note for note in notes)
            config, notes = measured_on(trained, data, label_set="celebamask-19")
            assert config.label_set == nineteen
            assert not notes, "the user said it"
        assert not hasattr(measured_on(trained, "celeba")[0], "label_set")


def test_incompatible_label_set_is_not_inherited() -> None:
    trained = FolderData(image_size=16, attributes=("Male",), label_set=SMALL)
    config, (note,) = measured_on(trained, "drawn")
    assert config.label_set == load_label_set("celebamask-19")
    assert "(nothing, face, hair) is not taken for the drawn faces, which keep their own: data.label_set: " in note
    assert "the set is over bg, skin, nose, hair" in note
