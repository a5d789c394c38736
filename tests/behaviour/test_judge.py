"""Judges: what they learn, what they keep, and what they say when something is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import default_collate

from zoogan.data.config import DrawnData
from zoogan.data.drawn import CLASSES
from zoogan.data.drawn.source import DrawnSource
from zoogan.errors import ConfigError
from zoogan.interfaces.study import AttributeJudge, PartJudge, TrainingJudge
from zoogan.judges import training as judge_training
from zoogan.judges.augment import augment_faces, blur_faces, make_sampling_grid
from zoogan.judges.calibration import fit_judge
from zoogan.judges.judge import Judge, get_judge_folder, load_judge, read_judge_facts, save_judge
from zoogan.judges.splits import add_valid_split
from zoogan.judges.training import JudgeTrainingConfig, compute_losses, compute_value_weights
from zoogan.pictures.photo import normalize_image

pytest.importorskip("timm")

NAMES = ("Wearing_Hat", "Bald", "Face_Mask")
COMMON = {"Wearing_Hat": 0.4, "Bald": 0.3, "Face_Mask": 0.4}
LESSON = JudgeTrainingConfig(iterations=3, batch=8)
CPU = torch.device("cpu")


def drawn(**settings: Any) -> tuple[DrawnSource, DrawnData]:
    values = {"image_size": 16, "faces": 64, "held_out": 40, "attributes": NAMES, "probabilities": COMMON}
    config = DrawnData(**{**values, **settings})
    return DrawnSource(config), config


@pytest.fixture(scope="module")
def judge() -> Judge:
    trained = fit_judge(*drawn(), LESSON, device=CPU)
    assert trained is not None
    return trained


@pytest.fixture(scope="module")
def faces() -> dict[str, torch.Tensor]:
    sample = drawn()[0].read("test", range(12))
    return {**sample, "image": normalize_image(sample["image"])}


# ---- training --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_hidden_attributes_count_in_no_score(judge: Judge, faces: dict[str, torch.Tensor]) -> None:
    hidden = faces["visible"] < 0.5
    assert hidden.any()
    lied = {**faces, "attributes": torch.where(hidden, 1 - faces["attributes"], faces["attributes"])}
    weights = compute_value_weights(faces["attributes"])
    told, again = (compute_losses(judge.network, s, weights, LESSON)["attributes"] for s in (faces, lied))
    assert torch.equal(told, again)
    source, _ = drawn()
    seen = source.read("test", range(40))["visible"]
    assert [judge.table[n]["faces"] for n in NAMES] == seen.sum(0).tolist() and seen[:, 1].sum() < 40


@pytest.mark.slow
def test_judge_training_is_deterministic(judge: Judge) -> None:
    state = torch.random.get_rng_state()
    again = fit_judge(*drawn(), LESSON, device=CPU)
    other = fit_judge(*drawn(), LESSON.model_copy(update={"seed": 1}), device=CPU)
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random numbers are left alone"
    assert again is not None and other is not None
    mine, theirs = judge.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(mine[k], v) for k, v in again.network.state_dict().items())
    assert again.table == judge.table and not all(torch.equal(mine[k], v) for k, v in theirs.items())


@pytest.mark.slow
def test_judge_learns() -> None:
    settings = {"faces": 128, "held_out": 60, "attributes": "Blond_Hair", "probabilities": {"Blond_Hair": 0.4}}
    trained = fit_judge(*drawn(**settings), JudgeTrainingConfig(iterations=40, batch=16), device=CPU)
    assert trained is not None and trained.facts.segmentation is not None
    row = trained.table["Blond_Hair"]
    assert row["average_precision"] > row["positives"] / row["faces"] + 0.25
    assert trained.facts.segmentation["pixel_accuracy"] > 0.5


def test_missing_valid_split_uses_train_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = drawn()
    count = source.count_faces
    monkeypatch.setattr(source, "count_faces", lambda split: 0 if split == "valid" else count(split))
    divided = add_valid_split(source)
    assert [divided.count_faces(s) for s in ("train", "valid", "test")] == [58, 6, 40]
    assert torch.equal(divided.read_labels("valid"), source.read_labels("train")[58:])
    assert divided.groups == source.groups and source.groups
    seen, domains = (
        torch.cat([told(s) for s in ("train", "valid")]) for told in (divided.read_visibility, divided.read_domains)
    )
    assert torch.equal(seen, source.read_visibility("train")) and not seen.all(), "a hat hides hair in both parts"
    assert torch.equal(domains, source.read_domains("train"))
    assert torch.equal(divided.read_visibility("test"), source.read_visibility("test"))
    assert torch.equal(divided.read("valid", [0])["image"], source.read("train", [58])["image"])
    assert torch.equal(divided.read("train", [57])["image"], source.read("train", [57])["image"])


def test_judge_needs_both_values_in_every_split(monkeypatch: pytest.MonkeyPatch) -> None:
    source, config = drawn()
    labels = source.read_labels
    monkeypatch.setattr(source, "read_labels", lambda split: labels(split) * (split != "valid"))
    with pytest.raises(ConfigError, match="Bald is 0 on all 40 valid faces") as raised:
        fit_judge(source, config, LESSON, device=CPU)
    assert str(raised.value).count("\n") == 2, "all three at once"
    monkeypatch.setattr(source, "count_faces", lambda split: 0 if split == "test" else 40)
    with pytest.raises(ConfigError, match="the test split has no faces"):
        fit_judge(source, config, LESSON, device=CPU)


def test_rare_values_weigh_more_up_to_limit() -> None:
    labels = torch.zeros(100, 2)
    labels[:20, 0] = labels[:1, 1] = 1
    weights = compute_value_weights(labels)
    assert weights[:, 0].tolist() == pytest.approx([0.5 / 0.8, 0.5 / 0.2])
    assert weights[1, 1] == pytest.approx(0.5 / judge_training.RAREST)


@pytest.mark.slow
def test_parser_learns_parts_and_reports_iou() -> None:
    source, config = drawn(attributes=(), faces=128)
    before, after = (
        fit_judge(source, config, JudgeTrainingConfig(iterations=k, batch=16), device=CPU) for k in (1, 40)
    )
    assert before is not None and after is not None and isinstance(after, PartJudge)
    facts = after.facts
    assert after.attributes == () and facts.table == {} and after.parts == facts.parts == CLASSES
    assert after.read_attributes(torch.zeros(2, 3, 16, 16)).shape == (2, 0)
    truth = source.read("test", range(40))
    told = after.read_parts(normalize_image(truth["image"]))
    assert told is not None
    true, overlap = truth["segmentation"].long(), {}
    for k in true.unique().tolist():
        overlap[CLASSES[k]] = float(((told == k) & (true == k)).sum() / ((told == k) | (true == k)).sum())
    assert {name: row["iou"] for name, row in after.part_table.items()} == pytest.approx(overlap)
    assert after.part_scores["mean_iou"] == pytest.approx(sum(overlap.values()) / len(overlap))
    for score, more in (("mean_iou", 0.02), ("pixel_accuracy", 0.2)):
        assert after.part_scores[score] > before.part_scores[score] + more, "it learns"


@pytest.mark.slow
def test_judge_parts_follow_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another label set: fewer classes, other names."""
    source, config = drawn()
    read = source.read
    monkeypatch.setattr(source, "parts", ("else", "person"))
    monkeypatch.setattr(
        source, "read", lambda *of: (s := read(*of)) | {"segmentation": (s["segmentation"] > 0).to(torch.uint8)}
    )
    trained = fit_judge(source, config, LESSON, device=CPU)
    assert trained is not None and trained.parts == ("else", "person") and trained.facts.build.classes == 2
    assert set(trained.part_table) == {"else", "person"}
    told = trained.read_parts(normalize_image(read("test", [0])["image"]))
    assert told is not None and set(told.unique().tolist()) <= {0, 1}


def test_judge_needs_attributes_or_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    source, config = drawn(attributes=())
    monkeypatch.setattr(source, "fields", ("image", "attributes"))
    with pytest.raises(ConfigError, match="nothing to learn: name one attribute or more"):
        fit_judge(source, config, LESSON, device=CPU)


# ---- disturbances ----------------------------------------------------------------------------------------------------


def test_judge_augmentation_rotates_image_and_roll() -> None:
    picture = torch.zeros(1, 1, 33, 33)
    picture[:, :, 16, 28] = 1  # to the right of the centre
    zero = torch.zeros(1)
    grid = make_sampling_grid(torch.tensor([30.0]), zero + 1, torch.zeros(1, 2), 33)
    turned = torch.nn.functional.grid_sample(picture, grid, align_corners=False)[0, 0]
    row, column = divmod(int(turned.argmax()), 33)
    assert math.degrees(math.atan2(row - 16, column - 16)) == pytest.approx(30, abs=4), "rows go down: clockwise"
    sample = {"image": torch.zeros(5, 3, 16, 16), "pose": torch.zeros(5, 3)}
    pose = augment_faces(sample, torch.Generator().manual_seed(0))["pose"]
    assert not pose[:, :2].any() and (pose[:, 2].abs() <= 8).all() and len(pose[:, 2].unique()) == 5


def test_judge_augmentation_keeps_range_and_classes(faces: dict[str, torch.Tensor]) -> None:
    one, two = (augment_faces(faces, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert one["image"].abs().max() <= 1 and one["segmentation"].dtype == torch.uint8
    assert set(one["segmentation"].unique().tolist()) <= set(faces["segmentation"].unique().tolist())
    assert torch.equal(one["attributes"], faces["attributes"])
    marked = {**faces, "image": (faces["segmentation"][:, None] > 0).float().expand(-1, 3, -1, -1) * 2 - 1}
    moved_too = augment_faces(marked, torch.Generator().manual_seed(3))
    person = moved_too["segmentation"] > 0
    inside, outside = (moved_too["image"].mean(1)[where].mean() for where in (person, ~person))
    assert inside > outside + 1, "what is pushed in at the border is segmented as it looks"
    flat = torch.full((2, 3, 8, 8), 0.25)
    assert torch.allclose(blur_faces(flat, torch.tensor([0.5, 1.2])), flat, atol=1e-6)


# ---- judging ---------------------------------------------------------------------------------------------------------


def test_judge_reports_everything_it_reads(judge: Judge, faces: dict[str, torch.Tensor]) -> None:
    assert isinstance(judge, AttributeJudge) and judge.attributes == NAMES == tuple(judge.table)
    probability, pose, parts = (
        tell(faces["image"]) for tell in (judge.read_attributes, judge.read_poses, judge.read_parts)
    )
    assert probability.shape == (12, 3) and ((probability >= 0) & (probability <= 1)).all()
    assert pose is not None and pose.shape == (12, 3)
    assert parts is not None and parts.shape == (12, 16, 16) and parts.max() < 19


def test_judge_treats_faces_independently(judge: Judge, faces: dict[str, torch.Tensor]) -> None:
    together = judge.read_attributes(faces["image"])
    alone = default_collate([judge.read_attributes(face[None])[0] for face in faces["image"]])
    assert torch.allclose(together, alone, atol=1e-5)


def test_judge_resizes_other_sizes(judge: Judge, faces: dict[str, torch.Tensor]) -> None:
    large = faces["image"].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(judge.read_attributes(large), judge.read_attributes(faces["image"]), atol=0.05)
    assert judge.resizer == "bilinear-antialias-16"


@pytest.mark.parametrize("size", [16, 24])
def test_judge_gradient_equals_finite_differences(judge: Judge, faces: dict[str, torch.Tensor], size: int) -> None:
    image = torch.nn.functional.interpolate(faces["image"][:2], (size, size), mode="bilinear").requires_grad_()
    weights = torch.tensor([1.0, -2.0, 3.0])
    reading = judge.read_with_gradient(image)
    mix = torch.linspace(-1, 1, reading.features.shape[1])
    for k in range(2):

        def measure(faces: torch.Tensor, k: int = k) -> torch.Tensor:
            read = judge.read_with_gradient(faces)
            return (read.logits @ weights).sum() if k == 0 else (read.features @ mix).sum()

        (gradient,) = torch.autograd.grad(measure(image), image)
        assert gradient.shape == image.shape and gradient.abs().amax((1, 2, 3)).min() > 0
        step = 3e-3 * gradient / gradient.norm()
        with torch.no_grad():
            difference = (measure(image + step) - measure(image - step)) / (2 * 3e-3)
        assert float(difference) == pytest.approx(float(gradient.norm()), rel=0.03)


def test_judge_reading_equals_read_attributes(judge: Judge, faces: dict[str, torch.Tensor]) -> None:
    image = faces["image"].clone().requires_grad_()
    reading = judge.read_with_gradient(image)
    assert isinstance(judge, TrainingJudge) and reading.logits.requires_grad and reading.features.requires_grad
    torch.testing.assert_close(reading.logits.sigmoid(), judge.read_attributes(faces["image"]))
    torch.testing.assert_close(judge.network.attributes(reading.features), reading.logits)
    assert reading.features.shape == (12, judge.network.attributes[1].in_features)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in judge.network.parameters())
    large = faces["image"].repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(judge.read_with_gradient(large).logits.sigmoid(), judge.read_attributes(large))


def test_judge_reading_runs_the_trunk_once(
    judge: Judge, faces: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, compute = [0], judge.network.compute_maps

    def count(image: torch.Tensor) -> list[torch.Tensor]:
        calls[0] += 1
        return compute(image)

    monkeypatch.setattr(judge.network, "compute_maps", count)
    image = faces["image"].clone()
    judge.read_with_gradient(image)
    assert calls == [1]
    judge.read_with_gradient(image)
    assert calls == [2], "a graph cannot be used twice, so nothing is cached"
    judge.read_part_probabilities(image), judge.read_parts(image)
    assert calls == [3]


def test_judge_part_probabilities_sum_to_one(judge: Judge, faces: dict[str, torch.Tensor]) -> None:
    image = faces["image"].clone().requires_grad_()
    probabilities, parts = judge.read_part_probabilities(image), judge.read_parts(image)
    assert probabilities is not None and parts is not None and probabilities.shape == (12, len(judge.parts), 16, 16)
    assert not probabilities.requires_grad
    torch.testing.assert_close(probabilities.sum(1), torch.ones(12, 16, 16))
    assert torch.equal(probabilities.argmax(1), parts)


# ---- the folder ------------------------------------------------------------------------------------------------------


def test_round_trip(judge: Judge, faces: dict[str, torch.Tensor], tmp_path: Path) -> None:
    saved = save_judge(judge, tmp_path / "a" / "judge")
    loaded = load_judge(tmp_path / "a" / "judge")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["judge"], "no drafts are left"
    assert loaded.facts == saved.facts and len(loaded.digest) == 64 and loaded.facts.source == "drawn"
    for one, other in ((judge, loaded), (saved, loaded)):
        assert torch.equal(one.read_attributes(faces["image"]), other.read_attributes(faces["image"]))
        assert torch.equal(one.read_parts(faces["image"]), other.read_parts(faces["image"]))
        assert torch.equal(one.read_poses(faces["image"]), other.read_poses(faces["image"]))
    assert torch.equal(loaded.thresholds, judge.thresholds) and loaded.table == judge.table
    assert loaded.parts == CLASSES and loaded.part_table == judge.part_table and loaded.part_scores["classes"] > 5


def save_to(judge: Judge, folder: Path) -> Path:
    save_judge(judge, folder)
    return folder


def test_damaged_judge_is_refused(judge: Judge, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    with pytest.raises(ConfigError, match="not a judge"):
        load_judge(folder)
    save_judge(judge, folder)
    facts, weights = folder / "judge.json", folder / "judge.safetensors"
    text, content = facts.read_text(), weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ConfigError, match="does not match its checksum"):
        load_judge(folder)
    weights.unlink()
    with pytest.raises(ConfigError, match=r"no judge\.safetensors"):
        load_judge(folder)
    weights.write_bytes(content)
    for change, message in (
        ({"format": 2}, "format 2"),
        ({"thresholds": [0.5]}, "disagree"),
        ({"surprise": 1}, "surprise"),
    ):
        facts.write_text(json.dumps({**json.loads(text), **change}))
        with pytest.raises(ConfigError, match=message):
            load_judge(folder)
    facts.write_text(text[:-9])
    with pytest.raises(ConfigError, match="damaged"):
        read_judge_facts(folder)


def test_failed_write_keeps_the_old_judge(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_judge(judge, tmp_path / "judge")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("zoogan.judges.judge.write_tensors", full)
    with pytest.raises(OSError, match="No space"):
        save_judge(judge, tmp_path / "judge", force=True)
    assert load_judge(tmp_path / "judge").facts.attributes == NAMES
    assert [p.name for p in tmp_path.iterdir()] == ["judge"]


def test_default_judge_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path))
    assert get_judge_folder("drawn", 64) == tmp_path / "judges" / "drawn-64"
    monkeypatch.delenv("ZOOGAN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_judge_folder("celeba", 128) == tmp_path / ".cache" / "zoogan" / "judges" / "celeba-128"
