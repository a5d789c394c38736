"""Official weights of a method made of stages: files are sorted by what they hold, and become one run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import zoogan
from support.runs import are_same_tensors, tiny_run
from support.staged_runs import make_judge_context, read_states
from zoogan.cli import main
from zoogan.config.registry import RegistrationError, Registry
from zoogan.errors import ConfigError
from zoogan.judges.judge import Judge, save_judge
from zoogan.plugins.host import PluginHost, get_zoo
from zoogan.runs.stage_records import compute_digest
from zoogan.testing.tensors import make_faces
from zoogan.training import JudgeStage, open_judge_stage

PLUGIN = Path(__file__).parents[1] / "support/staged_import_plugin.py"


@pytest.fixture(scope="module", autouse=True)
def staged_zoo() -> Iterator[PluginHost]:
    """A zoo of this module with the method `portrait`."""
    get_zoo.cache_clear()
    zoo = get_zoo()
    zoo.load_files([PLUGIN])
    yield zoo
    get_zoo.cache_clear()


def write_file(path: Path, network: str, **options: Any) -> Path:
    """Write an official file of one network."""
    from support.staged_import_plugin import write_official_file

    return write_official_file(path, get_zoo().registry, network, **options)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The official files: both of the sketch, and that of the portrait."""
    networks = ("sketch.generator", "sketch.discriminator", "portrait.generator")
    return [write_file(tmp_path / f"{number}.pth", network) for number, network in enumerate(networks)]


def refuse(out: Path, files: list[Path], **options: Any) -> list[str]:
    """Import files that make no run; nothing may be written. Return the lines of the error."""
    before = sorted(out.parent.parent.rglob("*"))
    with pytest.raises(ConfigError) as error:
        zoogan.import_weights("portrait", files, out=out, **options)
    assert sorted(out.parent.parent.rglob("*")) == before
    return str(error.value).splitlines()


# ---- a whole run ----


def test_files_in_any_order_make_one_run(files: list[Path], tmp_path: Path) -> None:
    states = [torch.load(file, weights_only=True) for file in files]
    for number, order in enumerate(permutations(files)):
        imported = zoogan.import_weights("portrait", order, out=tmp_path / f"run{number}")
        run = imported.run
        sketch = run.stages["sketch"]
        assert list(run.stages) == ["sketch"] and run.config.method == "portrait" and sketch.config.method == "sketch"
        for slot in ("generator", "discriminator"):
            assert are_same_tensors(
                sketch.networks[slot].state_dict(), states[slot == "discriminator"][f"sketch.{slot}"]
            )
        assert are_same_tensors(run.networks["generator"].state_dict(), states[2]["portrait.generator"])
        assert run.facts.image_size == sketch.facts.image_size == 16
        assert run.facts.attributes == sketch.facts.attributes == ("Eyeglasses",)
    notes = "\n".join(imported.notes)
    assert (
        "stage sketch: sketch was read" in notes and "portrait was read" in notes and "stage judge is left out" in notes
    )


def test_record_config_and_digest_tell_what_was_imported(files: list[Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    zoogan.import_weights("portrait", files, out=run)
    records = read_states(run)
    assert list(records) == ["sketch"]
    assert records["sketch"] == {
        "name": "sketch", "state": "given", "origin": f"{files[0]}, {files[1]}", "seconds": 0.0,
        "digest": compute_digest(run / "stages/sketch"),
    }  # fmt: skip
    stages = yaml.safe_load((run / "config.yaml").read_text())["stages"]
    assert stages["judge"] is None and stages["sketch"]["path"] is None
    assert stages["sketch"]["set"]["generator"]["width"] == 4


def test_imported_run_edits_and_shows_after_a_move(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, moved = tmp_path / "runs" / "official", tmp_path / "elsewhere"
    options = [part for file in files for part in ("--weights", str(file))]
    assert main(["import", "portrait", *options, "--stage", "judge=none", "--out", str(folder)]) == 0
    output = capsys.readouterr().out
    assert f"imported into {folder}" in output and f"zoo edit {folder}" in output
    before = zoogan.load(folder).edit(make_faces(0, 2, 16), Eyeglasses=1).image
    shutil.move(folder, moved)
    for file in files:
        file.unlink()
    assert torch.equal(zoogan.load(moved).edit(make_faces(0, 2, 16), Eyeglasses=1).image, before)
    assert zoogan.load(moved / "stages/sketch").edit(make_faces(0, 2, 16), Eyeglasses=1).image.isfinite().all()
    from support.pictures import save_picture

    photo = tmp_path / "face.png"
    save_picture(photo)
    edits = tmp_path / "edits"
    assert (
        main(["edit", str(moved), str(photo), "--attribute", "Eyeglasses=1", "--out", str(edits), "--device", "cpu"])
        == 0
    )
    assert list(edits.glob("*.png"))
    assert main(["show", "portrait", "--settings"]) == 0
    assert "a training of sketch" in capsys.readouterr().out


def test_folder_of_files_is_imported(files: list[Path], tmp_path: Path) -> None:
    assert zoogan.import_weights("portrait", tmp_path, out=tmp_path / "run").run.stages["sketch"].networks
    (tmp_path / "empty").mkdir()
    assert "no weight files in this folder" in refuse(tmp_path / "other", [tmp_path / "empty"])[0]


def test_attributes_of_a_stage_name_those_of_the_weights(files: list[Path], tmp_path: Path) -> None:
    write_file(files[2], "portrait.generator", named=False)
    assert zoogan.import_weights("portrait", files, out=tmp_path / "run").run.facts.attributes == ("Eyeglasses",)
    write_file(files[0], "sketch.generator", named=False)
    assert "sketch does not name its attributes" in "".join(refuse(tmp_path / "other", files))
    settings = {"data": {"attributes": ["Eyeglasses"]}}
    zoogan.import_weights("portrait", files, out=tmp_path / "other", settings=settings)


# ---- given stages ----


def test_stage_is_given_as_a_run_or_as_files(files: list[Path], tmp_path: Path) -> None:
    sketch, portrait = files[0], files[2]
    origin = zoogan.import_weights("sketch", sketch, out=tmp_path / "sketch").run
    for number, given in enumerate((tmp_path / "sketch", sketch)):
        out = tmp_path / f"run{number}"
        run = zoogan.import_weights("portrait", portrait, out=out, stages={"sketch": given}).run
        record = read_states(out)["sketch"]
        assert (record["state"], record["origin"]) == ("given", str(given))
        assert record["digest"] == compute_digest(out / "stages/sketch") == compute_digest(tmp_path / "sketch")
        states = [r.networks["generator"].state_dict() for r in (run.stages["sketch"], origin)]
        assert are_same_tensors(*states)


def test_given_run_decides_the_networks_of_its_stage(files: list[Path], tmp_path: Path) -> None:
    zoogan.import_weights("sketch", files[0], out=tmp_path / "sketch")
    asked = {"stages": {"sketch": {"set": {"generator": {"width": 8}}}, "judge": {"iterations": 5}}}
    run = tmp_path / "run"
    zoogan.import_weights("portrait", files[2], out=run, stages={"sketch": tmp_path / "sketch"}, settings=asked)
    stages = yaml.safe_load((run / "config.yaml").read_text())["stages"]
    assert stages["sketch"]["set"]["generator"]["width"] == 4 and stages["judge"] is None
    assert zoogan.load(run).stages["sketch"].networks


def test_given_judge_is_copied_and_opened(files: list[Path], staged_zoo: PluginHost, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    judge = open_judge_stage(make_judge_context(staged_zoo, None, JudgeStage()))
    save_judge(judge, tmp_path / "judge")
    out = tmp_path / "run"
    message = refuse(out, files, stages={"judge": tmp_path / "judge"})
    assert "does not read Eyeglasses; it reads Male" in message[0]
    stages = {"judge": tmp_path / "judge"}
    for file, network in zip(files, ("sketch.generator", "sketch.discriminator", "portrait.generator")):
        write_file(file, network, attributes=("Male",))
    opened = zoogan.import_weights("portrait", files, out=out, stages=stages).run.stages["judge"]
    assert isinstance(opened, Judge) and opened.attributes == ("Male",)
    assert list(read_states(out)) == ["judge", "sketch"]
    assert read_states(out)["judge"]["digest"] == compute_digest(tmp_path / "judge")


def test_wrong_given_stages_are_refused(files: list[Path], tmp_path: Path) -> None:
    portrait, out = [files[2]], tmp_path / "new" / "run"
    for stages, expected in (
        ({"sketch": tmp_path / "nothing"}, "stages.sketch: "),
        ({"sketch": None}, "stages.sketch: portrait needs this stage; only judge may be left out"),
        ({"sketsh": None}, "did you mean 'sketch'"),
        ({"sketch": files[0], "judge": tmp_path / "nothing"}, "stages.judge: "),
    ):
        assert expected in "\n".join(refuse(out, portrait, stages=stages))
    assert tiny_run("stargan", tmp_path / "stargan", iterations=1) == 0
    assert "is a run of stargan" in "\n".join(refuse(out, portrait, stages={"sketch": tmp_path / "stargan"}))
    with pytest.raises(ConfigError, match="sagan has no stages; leave out --stage sketch"):
        zoogan.import_weights("sagan", files, out=out, stages={"sketch": None})


# ---- files that make no run ----


def test_missing_file_is_named(files: list[Path], tmp_path: Path) -> None:
    first, *lines = refuse(tmp_path / "new" / "run", files[:2])
    assert first == "--weights: the files do not make a run:"
    assert lines == [
        f"{files[0]}: the generator of stage sketch (sketch)",
        f"{files[1]}: the discriminator of stage sketch (sketch)",
        "missing: the generator of portrait itself; add --weights FILE",
    ]
    lines = refuse(tmp_path / "run", files[1:])
    assert lines[-1] == "missing: the generator of stage sketch (sketch); add --weights FILE or --stage sketch=RUN"


def test_every_file_that_does_not_belong_is_named(files: list[Path], tmp_path: Path) -> None:
    alien, again, broken = tmp_path / "alien.pth", tmp_path / "again.pth", tmp_path / "broken.pth"
    torch.save({f"layer{n}.weight": torch.zeros(2) for n in range(5)}, alien)
    shutil.copy(files[0], again)
    broken.write_bytes(b"nothing")
    lines = refuse(tmp_path / "run", [alien, files[0], again, broken])
    assert lines[1] == (
        f"{alien}: not used: no network of sketch, portrait; it holds 5 entries: 'layer0.weight', 'layer1.weight', "
        "'layer2.weight', ..."
    )
    assert lines[2] == f"{files[0]}: the generator of stage sketch (sketch)"
    assert lines[3].startswith(f"{again}: not used: the generator of stage sketch (sketch), as {files[0]}")
    assert lines[4].startswith(f"{broken}: not used: not a state_dict")
    assert lines[5] == "missing: the generator of portrait itself; add --weights FILE"
    lines = refuse(tmp_path / "run", files, stages={"sketch": files[0]})
    assert f"{files[0]}: not used: the generator of stage sketch (sketch), which --stage sketch=" in lines[1]


def test_facts_that_disagree_are_named(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "run"
    write_file(files[2], "portrait.generator", size=32)
    message = "\n".join(refuse(out, files))
    assert "stages.sketch: the networks of" in message and str(files[0]) in message
    assert "image_size (data.image_size): 16 in the run, 32 here" in message
    write_file(files[2], "portrait.generator", attributes=("Male",))
    assert "attributes (data.attributes): Eyeglasses in the run, Male here" in "\n".join(refuse(out, files))


def test_late_failure_leaves_nothing(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoogan.training.stages import importing

    def fail(*arguments: Any) -> None:
        raise ConfigError("no room on the disk")

    with monkeypatch.context() as patch:
        patch.setattr(importing, "write_records", fail)
        assert refuse(tmp_path / "new" / "run", files) == ["no room on the disk"]
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    assert "the folder already holds files" in refuse(tmp_path / "used", files)[0]


def test_importer_of_stages_needs_to_tell_files_apart(staged_zoo: PluginHost) -> None:
    spec = replace(staged_zoo.registry.methods["portrait"], name="other", official_files=None)
    with pytest.raises(RegistrationError, match="needs official_files"):
        Registry(plugin="tests").method(spec)
