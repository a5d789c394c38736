"""Runs on the Hub: pushed with a card and without secrets, fetched, and edited with offline, equal to the bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from support.fake_hub import TOKEN, FakeHub, serve_hub
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.runs.folder import RunFolder
from zoogan.runs.hub import HubAddress, name_fetched_run, parse_hub_address
from zoogan.runs.locations import find_run_folder
from zoogan.workflows.push_run import push

# The client reads its settings when it is imported, so everything that talks to the hub runs in one other process.
SCRIPT = """
import json, os, sys, traceback
from pathlib import Path
import torch, zoogan
from zoogan.cli import main
from zoogan.plugins.host import get_zoo
from zoogan.testing.tensors import make_faces
from zoogan.training.configure import configure_new_run, merge_options

torch.set_num_threads(1)
secret, out = Path(sys.argv[1]), {}
def refuse(action):
    try:
        return f"no error: {action()}"
    except zoogan.ConfigError as error:
        return str(error)

run = zoogan.load(secret)
out["page"] = run.push_to_hub("me/glasses", space=True)
(secret / "directions").mkdir()
out["again"] = zoogan.push(secret, "me/glasses")
photo, edits = str(secret.parent / "me.png"), str(secret.parent / "edits")
out["verb"] = main(["edit", "me/glasses", photo, "--attribute", "Eyeglasses=1", "--device", "cpu", "--out", edits])
fetched = zoogan.load("me/glasses@main")
face = make_faces(0, 2, 32)
out["equal"] = torch.equal(run.edit(face, Eyeglasses=1).image, fetched.edit(face, Eyeglasses=1).image)
out["folder"] = str(fetched.path)
out["missing"] = refuse(lambda: zoogan.load("me/nothing"))
def configure(origin):
    settings = merge_options({}, start_from=origin)
    return configure_new_run(get_zoo(), "sagan", settings=settings)[0].training.start_from
out["start"] = str(configure("me/glasses"))
out["no start"] = refuse(lambda: configure("me/nothing"))
out["revision"] = refuse(lambda: zoogan.load("me/glasses@v9"))
zoogan_hub = __import__("huggingface_hub")
zoogan_hub.create_repo("me/other", exist_ok=True)
out["no run"] = refuse(lambda: zoogan.load("me/other"))
os.environ.pop("HF_TOKEN")
out["login"] = refuse(lambda: zoogan.push(secret, "me/glasses"))
zoogan_hub.constants.HF_HUB_OFFLINE = True
alone = zoogan.load("me/glasses")
out["offline"] = torch.equal(run.edit(face, Eyeglasses=1).image, alone.edit(face, Eyeglasses=1).image)
out["offline, missing"] = refuse(lambda: zoogan.load("me/elsewhere"))
out["offline, push"] = refuse(lambda: zoogan.push(secret, "me/glasses"))
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with serve_hub() as server:
        yield server


@pytest.fixture(scope="module")
def push_results(hub: FakeHub, sagan_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, object]:
    """What the calls of one person returned and printed; the hub has the files."""
    from support.pictures import save_picture

    home = tmp_path_factory.mktemp("hub")
    secret = Path(shutil.copytree(sagan_run, home / "secret"))
    config = yaml.safe_load((secret / "config.yaml").read_text())
    config["data"]["root"] = str(home / "photos")
    (secret / "config.yaml").write_text(yaml.safe_dump(config))
    (secret / "report").mkdir(exist_ok=True)
    key = {"split": "test", "source": "drawn"}
    values = [
        {
            "name": "edit_error",
            "value": 0.57,
            "low": 0.5,
            "high": 0.63,
            "better": "lower",
            "attribute": None,
            "key": key,
        }
    ]
    (secret / "report" / "report.json").write_text(json.dumps({"faces": 60, "values": values}))
    save_picture(home / "me.png", size=(48, 40))
    settings = {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(home / "cache"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | settings
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(secret)], env=environment, cwd=home, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return {**json.loads(result.stdout.splitlines()[-1]), "home": str(home)}


def test_pushed_run_has_no_secrets_and_no_code(hub: FakeHub, push_results: Mapping[str, object]) -> None:
    files = hub.repositories["me/glasses"]
    networks = {f"model/{name}.safetensors" for name in ("generator", "discriminator")}
    about = {"config.yaml", "facts.json", "model/config.json", "README.md", "requirements.txt", "sheet.png"}
    assert set(files) == about | networks
    assert not [name for name, content in files.items() if str(push_results["home"]).encode() in content]
    assert yaml.safe_load(files["config.yaml"])["data"]["root"] is None
    assert push_results["page"] == push_results["again"] == f"{hub.address}/me/glasses"
    space = hub.repositories["spaces/me/glasses"]
    assert set(space) == {"app.py", "requirements.txt", "README.md"}
    assert b'zoogan.load("me/glasses")' in space["app.py"] and b"sdk: gradio" in space["README.md"]
    compile(space["app.py"], "app.py", "exec")


def test_card_tells_use_report_and_licence(hub: FakeHub, push_results: Mapping[str, object]) -> None:
    card = hub.repositories["me/glasses"]["README.md"].decode()
    _, front, text = card.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["library_name"] == "zoogan" and facts["license"] == "apache-2.0" and "sagan" in facts["tags"]
    metric = facts["model-index"][0]["results"][0]["metrics"][0]
    assert metric["type"] == "edit_error" and metric["args"] == {"split": "test", "source": "drawn"}
    assert 'zoogan.load("me/glasses")' in text and 'run.edit("me.jpg", Eyeglasses=1)' in text
    assert (
        "| edit_error ↓ | 0.57 | 0.5 to 0.63 |" in text
        and "consent" in text
        and "![Faces and edits](sheet.png)" in text
    )


def test_fetched_run_edits_equal_to_the_bit(push_results: Mapping[str, object]) -> None:
    assert push_results["equal"] is True and push_results["offline"] is True and push_results["verb"] == 0
    folder = Path(str(push_results["folder"]))
    assert push_results["start"] == str(folder.resolve()), "a training starts from it too"
    assert name_fetched_run(folder) == "me--glasses" and name_fetched_run(folder.parent) is None
    assert not (folder / "README.md").exists(), "only what a run needs is fetched"


@pytest.mark.parametrize(
    ("what", "sentence"),
    {
        "missing": "the Hub has no such model, or it is private",
        "no start": "the Hub has no such model, or it is private",
        "revision": "me/glasses: it has no revision 'v9' on the Hub",
        "no run": "this model of the Hub is no run of zoogan (no config.yaml and facts.json in it)",
        "login": "the Hub refuses to write there (401); log in with hf auth login",
        "offline, missing": "the Hub cannot be reached, and this run was not fetched before",
        "offline, push": "this machine is offline (HF_HUB_OFFLINE); nothing was pushed",
    }.items(),
)
def test_hub_mistakes_are_told_in_a_sentence(push_results: Mapping[str, object], what: str, sentence: str) -> None:
    said = str(push_results[what])
    assert sentence in said and "\n" not in said


def test_hub_address_is_owner_and_name() -> None:
    assert parse_hub_address("me/glasses@v1.0") == HubAddress("me/glasses", "v1.0")
    assert str(parse_hub_address("me/glasses")) == "me/glasses"
    for text in (
        "glasses",
        "./me/glasses",
        "~/me/glasses",
        "/me/glasses",
        "a/b/c",
        "runs/sagan",
        "gallery:sagan",
        "me/",
        "../glasses",
    ):
        assert parse_hub_address(text) is None, text


def test_paths_win_over_hub_addresses(sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sagan_run.parent.parent)
    assert find_run_folder(f"{sagan_run.parent.name}/{sagan_run.name}").samefile(sagan_run)
    with pytest.raises(ConfigError, match=r"there is no folder .*attributez, did you mean 'attributes'"):
        find_run_folder(f"{sagan_run.parent.name}/attributez")
    with pytest.raises(ConfigError, match=r"here/glasses@v1: expected a name on the Hub such as owner/name"):
        push(sagan_run, "here/glasses@v1")


def test_missing_method_names_its_package(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = sagan_copy / "config.yaml"
    config.write_text(config.read_text().replace("method: sagan", "method: next-gan"))
    (sagan_copy / "requirements.txt").write_text("zoogan\nzoogan-next\n; rm -rf\n")
    assert main(["edit", str(sagan_copy), "me.jpg", "--attribute", "Eyeglasses=1"]) == 2
    assert "its method 'next-gan' is not installed" in (said := capsys.readouterr().err)
    assert "pip install zoogan zoogan-next" in said and "rm" not in said
    assert RunFolder(sagan_copy).read_requirements() == ["zoogan", "zoogan-next"]
