"""A folder of images for each domain: layouts, what is passed over, splits, mistakes, and a training on few images."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import zoogan
from support.pictures import save_picture
from support.runs import STARGAN_V2_SIZE, make_set_options, tiny_run
from zoogan.cli import main
from zoogan.data.config import FoldersData
from zoogan.data.sources.folders import Folders
from zoogan.data.sources.heat_map_files import get_masks_path
from zoogan.errors import ConfigError
from zoogan.evaluation.metrics.real_faces import hash_real_faces


def filled(root: Path, counts: Mapping[str, int]) -> Path:
    """Folders of grey pictures, those of the k-th folder in the grey 40 k."""
    for k, (folder, count) in enumerate(counts.items()):
        for i in range(count):
            save_picture(root / folder / f"{i}.png", 40 * k)
    return root


def opened(root: Path, **settings: Any) -> Folders:
    return Folders(FoldersData(**{"root": root, "image_size": 16, "test_share": 0, **settings}))


def names(source: Folders, split: Any) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for path, _ in source.members[split]}


def test_fingerprint_depends_on_image_content(tmp_path: Path) -> None:
    """Or features kept of one folder would be taken for those of another."""
    one, other = (opened(filled(tmp_path / name, {"cat": 2, "dog": 2})) for name in ("one", "other"))
    assert hash_real_faces(one, [0, 1]) == hash_real_faces(opened(tmp_path / "one"), [0, 1])
    assert hash_real_faces(one, [0, 1]) not in (hash_real_faces(other, [0, 1]), hash_real_faces(one, [0, 2]))
    assert one.compute_fingerprint("train", include_origin=False) == other.compute_fingerprint(
        "train", include_origin=False
    ), "a copy"
    before = hash_real_faces(one, range(4))
    save_picture(tmp_path / "one/cat/0.png", 200)
    assert hash_real_faces(one, range(4)) != before, "a picture replaced under its name"
    filled(tmp_path / "other", {"cat": 3})
    assert opened(tmp_path / "other").compute_fingerprint("train", include_origin=False) != other.compute_fingerprint(
        "train", include_origin=False
    )


# ---- layouts ----


def test_folders_are_alphabetical_domains(tmp_path: Path) -> None:
    source = opened(filled(tmp_path, {"wild": 2, "cat": 3, "dog": 1}))
    assert source.attributes == source.domains == ("cat", "dog", "wild") and source.exclusive == (source.domains,)
    assert source.count_faces("train") == 6 and source.count_faces("test") == source.count_faces("valid") == 0
    domain, batch = source.read_domains("train"), source.read("train", list(range(6)))
    assert domain.bincount().tolist() == [3, 1, 2]
    assert batch["image"].shape == (6, 3, 16, 16) and batch["image"].dtype == torch.uint8
    assert torch.equal(batch["attributes"], torch.eye(3)[domain]) and torch.equal(
        batch["attributes"], source.read_labels("train")
    )
    greys = torch.tensor([40, 80, 0])  # as they were filled
    assert torch.equal(batch["image"].float().mean((1, 2, 3)).round().long(), greys[domain])


def test_domains_follow_requested_order(tmp_path: Path) -> None:
    source = opened(filled(tmp_path, {"cat": 2, "dog": 1, "wild": 1}), attributes=("wild", "cat"))
    assert source.domains == ("wild", "cat") and source.read_domains("train").bincount().tolist() == [1, 2]


@pytest.mark.parametrize("held_out", ["val", "valid", "test"])
def test_folders_read_train_and_val(tmp_path: Path, held_out: str) -> None:
    filled(tmp_path, {f"train/{d}": n for d, n in (("a", 4), ("b", 3))} | {f"{held_out}/a": 2, f"{held_out}/b": 1})
    source = opened(tmp_path, test_share=0.5)
    assert source.domains == ("a", "b")
    assert source.count_faces("train") == 7 and source.count_faces("test") == 3, "nothing of train is held out besides"
    assert source.read_domains("test").bincount().tolist() == [2, 1]


@pytest.mark.parametrize(
    ("pattern", "held_out"),
    [
        ("train{}", "test{}"), ("Train/{}", "Val/{}"), ("training/{}", "validation/{}"), ("train_{}", "test_{}"),
        ("{}/train", "{}/test"), ("TRAIN/{}", "Test/{}"),
    ],
)  # fmt: skip
def test_usual_layouts_are_understood(tmp_path: Path, pattern: str, held_out: str) -> None:
    counts = {pattern.format(name): n for name, n in (("A", 4), ("B", 3))}
    filled(tmp_path, counts | {held_out.format("A"): 2, held_out.format("B"): 1})
    source = opened(tmp_path, test_share=0.5)
    assert source.domains == ("A", "B")
    assert source.read_domains("train").bincount().tolist() == [4, 3]
    assert source.read_domains("test").bincount().tolist() == [2, 1]


def test_domains_named_like_splits_stay_domains(tmp_path: Path) -> None:
    assert opened(filled(tmp_path, {"trainers": 2, "testament": 1})).domains == ("testament", "trainers")


def test_differing_joined_domains_are_reported(tmp_path: Path) -> None:
    filled(tmp_path, {"trainA": 1, "trainB": 1, "testA": 1})
    with pytest.raises(ConfigError, match=r"the folders for training and the held-out folders of .* differ in .* B$"):
        opened(tmp_path)


def test_train_folder_alone_holds_out_a_share(tmp_path: Path) -> None:
    source = opened(filled(tmp_path, {"train/a": 40, "train/b": 40}), test_share=0.25)
    assert source.count_faces("train") + source.count_faces("test") == 80 and 8 <= source.count_faces("test") <= 32


def test_folders_read_images_and_ignore_other_files(tmp_path: Path) -> None:
    kinds = ("1.jpg", "2.JPG", "3.jpeg", "4.PNG", "5.webp", "deeper/6.Png", "größe 7.bmp")
    for folder in ("a", "b"):
        for kind in kinds:
            save_picture(tmp_path / folder / kind, 90)
        (tmp_path / folder / "notes.txt").write_text("no picture")
        save_picture(tmp_path / folder / ".hidden.png")
        save_picture(tmp_path / folder / ".thumbnails/1.png")
    (tmp_path / "README.md").write_text("beside the folders")
    save_picture(tmp_path / "stray.png")
    save_picture(tmp_path / ".cache/1.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    source = opened(tmp_path)
    assert source.domains == ("a", "b") and source.count_faces("train") == 2 * len(kinds)
    image = source.read("train", list(range(2 * len(kinds))))["image"].float()
    assert (image - 90).abs().max() <= 2


def test_heat_map_folder_is_no_domain(tmp_path: Path) -> None:
    filled(tmp_path, {"cat": 2, "dog": 2})
    save_picture(get_masks_path(tmp_path, tmp_path / "cat/1.png"))
    assert opened(tmp_path).domains == ("cat", "dog")


def test_single_folder_is_one_domain(tmp_path: Path) -> None:
    source = opened(filled(tmp_path, {"face": 3}))
    assert source.domains == ("face",) and source.read_domains("train").tolist() == [0, 0, 0]
    assert source.read_labels("train").tolist() == [[1], [1], [1]]
    assert Folders.list_attributes(FoldersData(root=tmp_path)) == ("face",)


# ---- splits ----


def test_split_is_stable_when_images_are_added(tmp_path: Path) -> None:
    before = opened(filled(tmp_path, {"a": 40, "b": 20}), test_share=0.3)
    after = opened(filled(tmp_path, {"a": 60, "b": 40, "c": 5}), test_share=0.3)
    for split in ("train", "test"):
        assert names(before, split) < names(after, split)
    assert 15 <= after.count_faces("test") <= 45 and not names(after, "train") & names(after, "test")


def test_first_faces_cover_every_domain(tmp_path: Path) -> None:
    """Evaluations look at the first 500."""
    source = opened(filled(tmp_path, {"train/a": 30, "train/b": 30, "val/a": 30, "val/b": 30}))
    for split in ("train", "test"):
        assert 3 <= int(source.read_domains(split)[:16].sum()) <= 13
        assert torch.equal(source.read_labels(split).argmax(1), source.read_domains(split))


# ---- mistakes ----


def test_invalid_sources_are_reported(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(ConfigError, match=r"no folder with images in .*bare; expected .*(?s:.)*female/1.jpg"):
        opened(tmp_path / "bare")
    with pytest.raises(ConfigError, match="is not there; say where the source's files are with --root"):
        opened(tmp_path / "gone")
    root = filled(tmp_path / "two", {"female": 2, "male": 2})
    (root / "old").mkdir()
    with pytest.raises(ConfigError, match=r"has no folder 'femal', did you mean 'female'\?; its .*: female, male$"):
        opened(root, attributes=("femal", "male"))
    with pytest.raises(ConfigError, match="has no images in the folder 'old'"):
        opened(root, attributes=("female", "old"))
    with pytest.raises(ConfigError, match="'male' is asked for twice"):
        opened(root, attributes=("male", "male"))
    with pytest.raises(ConfigError, match=r"data.balance: 'mael' .*did you mean 'male'"):
        opened(root, balance="mael")
    with pytest.raises(ConfigError, match=r"female has no images to train on"):
        opened(filled(tmp_path / "tiny", {"female": 1}), test_share=0.999)


def test_differing_val_domains_are_reported(tmp_path: Path) -> None:
    filled(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/c": 1})
    with pytest.raises(ConfigError, match=r"train and .*val differ in the folders b, c$"):
        opened(tmp_path)


def test_shared_heat_map_files_are_refused(tmp_path: Path) -> None:
    filled(tmp_path, {"train/cat": 2, "val/cat": 1})
    twin = save_picture(tmp_path / "train/cat/1.jpg")
    assert opened(tmp_path).count_faces("train") == 3, "who reads no heat maps may have both"
    path = get_masks_path(tmp_path, twin)
    message = rf"{path}: the heat maps of {twin} and of .*/train/cat/1.png; rename one of the images$"
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, heat_maps=True)
    twin.rename(twin.with_stem("3"))
    assert opened(tmp_path, heat_maps=True).count_faces("test") == 1, "0.png is in both, in folders of their own"


def test_corrupt_image_is_named_on_reading(tmp_path: Path) -> None:
    source = opened(filled(tmp_path, {"a": 2}))
    source.members["train"][0][0].write_bytes(b"\xff\xd8 broken")
    with pytest.raises(ConfigError, match=source.members["train"][0][0].name):
        source.read("train", [0])
    source.read("train", [1])


# ---- a training ----


def report_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "report/report.json").read_text())
    return content


@pytest.mark.slow
def test_folders_smaller_than_a_batch_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = tmp_path / "data", tmp_path / "run"
    for k, folder in enumerate(("train/female", "train/male", "val/female", "val/male")):
        for i in range(2 if k < 2 else 1):
            save_picture(root / folder / f"{i}.jpg")
    assert tiny_run("stargan-v2", run, "--data", "folders", "--root", str(root)) == 0
    assert "female, male" in capsys.readouterr().out
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["attributes"] == ["female", "male"]
    assert len(list((run / "samples").iterdir())) == 1
    save_picture(root / "train/other/1.png"), save_picture(root / "val/other/1.png")  # a folder that came later
    assert main(["evaluate", str(run), "--device", "cpu", "--metrics", "locality,diversity"]) == 0
    assert {value["attribute"] for value in report_of(run)["values"]} == {"female", "male", None}
    assert main(["evaluate", str(run), "--device", "cpu", "--metrics", "diversity", "--styles", "reference"]) == 0
    assert main(["train", "--out", str(run), "--resume", "--iterations", "3", "--device", "cpu"]) == 0
    assert zoogan.load(run).facts.domains == ("female", "male")


@pytest.mark.slow
def test_run_without_held_out_images_is_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = filled(tmp_path / "data", {"a": 2, "b": 1})
    options = ["--data", "folders", "--root", str(root), "--set", "data.test_share=0"]
    assert tiny_run("stargan-v2", tmp_path / "run", *options, iterations=1) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "has no held-out faces" in capsys.readouterr().err


@pytest.mark.slow
def test_single_domain_run_trains_and_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = tmp_path / "data", tmp_path / "run"
    photos = [save_picture(root / f"{part}/cat/{i}.png") for part in ("train", "val") for i in range(3)]
    assert tiny_run("stargan-v2", run, "--data", "folders", "--root", str(root)) == 0
    edit = ["edit", str(run), str(photos[0]), "--device", "cpu", "--overwrite", "--out", str(tmp_path / "edits")]
    like = ["--reference", str(photos[1])]
    for wish in (["--domain", "cat"], ["--attribute", "cat=1", *like], like):
        assert main([*edit, *wish]) == 0
    assert main([*edit, "--attribute", "cat=0"]) == 2
    assert "the one domain of this model" in capsys.readouterr().err
    loaded = zoogan.load(run)
    image = torch.rand(2, 3, STARGAN_V2_SIZE, STARGAN_V2_SIZE) * 2 - 1
    columns = loaded.editor.make_columns(image, torch.ones(2, 1))
    assert [column.caption for column in columns] == ["cat, seed 0", "cat, seed 1", "cat like", "cat like"]
    assert loaded.editor.find_supported(torch.ones(2, 1)).all()
    for styles in ("latent", "reference"):
        assert main(["evaluate", str(run), "--device", "cpu", "--metrics", "diversity", "--styles", styles]) == 0
    assert report_of(run)["skipped"] == {"cat": "no face of the study can show it, or every face shows it already"}


def test_heat_map_files_reach_generator_and_cycle(tmp_path: Path) -> None:
    """Masks that lie beside the images are read, mirrored with them, and keep details in both translations."""
    from zoogan.composition.build import compose
    from zoogan.composition.rehearsal import rehearse
    from zoogan.config import compose_config
    from zoogan.data.loader import move_batch
    from zoogan.data.sources.heat_map_files import save_masks
    from zoogan.data.stream import FaceStream
    from zoogan.interfaces import Need
    from zoogan.pictures.photo import save_image
    from zoogan.plugins.host import get_zoo
    from zoogan.training.prepare import describe_source

    generator = torch.Generator().manual_seed(0)
    for name in ("cat", "dog"):
        for k in range(3):
            picture = torch.randint(256, (3, 32, 32), generator=generator, dtype=torch.uint8)
            save_image(picture, tmp_path / name / f"{k}.png")
            coarse = torch.zeros(1, 1, 256, 256)
            coarse[..., :128] = 1.0  # the left half
            save_masks(get_masks_path(tmp_path, tmp_path / name / f"{k}.png"), (coarse, coarse / 2))
    registry = get_zoo().registry
    data = {"root": str(tmp_path), "heat_maps": True, "test_share": 0.0, "image_size": 32, "batch": 2, "workers": 0}
    tiny = {slot: {"width": 4, "max_width": 8} for slot in ("generator", "style_encoder", "discriminator")}
    sets = {"data": data, "heat_maps": {"use": "files"}, **tiny, "mapping": {"width": 4}}
    sets["generator"] = {**tiny["generator"], "high_pass": 1.0}
    config = compose_config(registry.methods["stargan-v2"], registry, source="folders", sets=sets)
    source = registry.build("source", config.data)
    rehearse(config, describe_source(source), registry)
    game = compose(config, describe_source(source), registry).game
    assert game.needs["source"].fields == ("image", "domain", "heat_maps")
    stream = FaceStream(source, "source", game.needs["source"], seed=0, flip=True)
    ks = list(range(8))
    batch = move_batch({"source": stream.__getitems__(ks)}, "cpu")["source"]
    maps = batch["heat_maps"]
    assert maps.shape == (8, 2, 256, 256) and maps.dtype == torch.float32
    flipped = torch.tensor([stream.is_mirrored(k) for k in ks])
    left = maps[:, 0, :, :128].mean((1, 2))
    assert torch.equal(left, (~flipped).float()) and flipped.any() and not flipped.all()
    torch.testing.assert_close(maps[:, 1], maps[:, 0] / 2, atol=0.003, rtol=0)
    fields = FaceStream(source, "source", Need(("image",)), seed=0).fields
    assert fields == ["image"], "who does not ask for them does not get them"


@pytest.mark.slow
@pytest.mark.usefixtures("temporary_cache")
def test_heat_map_files_reach_samples_and_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that learnt with masks is shown with them wherever its source has them; of a photo there are none."""
    from zoogan.data.sources.heat_map_files import save_masks
    from zoogan.editors.sample_grid import read_sample_faces, save_sample_grid
    from zoogan.evaluation.study import iterate_edits, open_study
    from zoogan.plugins.host import get_zoo

    root, run = tmp_path / "data", tmp_path / "run"
    for part, name, k in itertools.product(("train", "val"), ("cat", "dog"), range(2)):
        image = save_picture(root / part / name / f"{part}{name}{k}.png")
        masks = torch.zeros(1, 1, 32, 32)
        masks[..., : 8 * (k + 1)] = 1.0
        save_masks(get_masks_path(root, image), (masks, masks / 2))
    masked = ["generator.high_pass=1", "heat_maps.use=files", "data.heat_maps=true", "data.prepare=always"]
    assert (
        tiny_run("stargan-v2", run, "--data", "folders", "--root", str(root), *make_set_options(masked), iterations=1)
        == 0
    )
    assert [path.stat().st_size for path in (tmp_path / "cache").rglob("heat_maps.bin")] == [4 * 2 * 256 * 256]
    assert "prepared 4/4 faces" in capsys.readouterr().out
    loaded = zoogan.load(run)
    source = get_zoo().registry.build("source", loaded.config.data)
    told: list[torch.Tensor | None] = []
    hook = loaded.networks["generator"].register_forward_hook(lambda network, args, out: told.append(args[2]))
    edits = next(iterate_edits(loaded.editor, open_study(source, "folders"), "cat"))
    _ = edits.cycled_image, edits.edit_with_seed(1)
    faces = edits.sample["heat_maps"] / 255
    assert len(told) == 3 and all(given is not None and torch.equal(given[0], faces[:, :1]) for given in told)
    assert all(given is not None and torch.equal(given[1], faces[:, 1:]) for given in told), "of the source, always"
    told.clear()
    save_sample_grid(loaded.editor, read_sample_faces(source), tmp_path / "grid.png")
    assert told and all(given is not None for given in told)
    told.clear()
    loaded.edit(image, domain="cat")
    hook.remove()
    assert told == [None]
    capsys.readouterr()
    note = "note: this run was trained with heat_maps from files, and these faces have none"
    assert main(["edit", str(run), str(image), "--domain", "cat", "--out", str(tmp_path / "edits")]) == 0
    assert capsys.readouterr().err.count(note) == 1
    measure = ["evaluate", str(run), "--device", "cpu", "--metrics", "diversity"]
    assert main(measure) == 0 and note not in capsys.readouterr().err
    assert main([*measure, "--set", "data.heat_maps=false"]) == 0 and note in capsys.readouterr().err
