"""StarGAN v2 runs measured, compared and imported, in process."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoogan
from support.pictures import save_picture
from support.runs import make_set_options
from zoogan.cli import main
from zoogan.composition.build import compose
from zoogan.editors.style_editor import StyleEditor
from zoogan.facts import Facts
from zoogan.plugins.host import get_zoo
from zoogan.runs.folder import RunFolder
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts
from zoogan.training.prepare import prepare
from zoogan_stargan_v2.config import StarganV2GeneratorConfig, StarganV2MappingConfig, StarganV2StyleEncoderConfig
from zoogan_stargan_v2.networks import StarganV2Generator, StarganV2Mapping, StarganV2StyleEncoder
from zoogan_stargan_v2.weights import SLOTS, get_official_name

pytestmark = pytest.mark.slow

METRICS = ["--metrics", "edit_error,reconstruction,diversity"]


def measured(folder: Path) -> tuple[dict[str, Any], dict[tuple[str, str | None], float]]:
    """What a report says of the run, and its values by measure and attribute."""
    report = json.loads((folder / "report.json").read_text())
    return report["about"], {(v["name"], v["attribute"]): v["value"] for v in report["values"]}


@pytest.fixture
def own_style_run(stargan_v2_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to write reports into."""
    return Path(shutil.copytree(stargan_v2_run, tmp_path / "styles"))


# ---- trained ----


def test_unused_high_pass_details_warn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without masks the decoder has no skips, and with high_pass no shortcuts either; that may be meant."""
    registry = get_zoo().registry
    config = make_tiny_config("stargan-v2", registry, {"generator": {"high_pass": 1.0}})
    prepare(get_zoo(), config, RunFolder(tmp_path / "run"), device="cpu")
    said = [line for line in capsys.readouterr().out.splitlines() if "high_pass" in line]
    assert len(said) == 1 and said[0].startswith(
        "note: generator.high_pass keeps details of a face where heat maps are set"
    )
    assert "heat_maps.use=landmarks heat_maps.file=FILE" in said[0] and "generator.high_pass=0" in said[0]

    for generator, heat_maps in (({"high_pass": 0.0}, "none"), ({"high_pass": 1.0}, "files")):
        config = make_tiny_config("stargan-v2", registry, {"generator": generator, "heat_maps": {"use": heat_maps}})
        assert not compose(config, make_tiny_facts(config), registry).game.list_warnings()


# ---- measured and compared ----


def test_styles_come_from_latents_or_references(own_style_run: Path) -> None:
    options = ["evaluate", str(own_style_run), "--faces", "10", "--device", "cpu", *METRICS]
    assert main(options) == 0
    assert main([*options, "--styles", "reference"]) == 0
    about, latent = measured(own_style_run / "report")
    about_reference, reference = measured(own_style_run / "report-reference")
    assert about["run"] == "styles" and about_reference["run"] == "styles (reference)"
    assert about["config"] != about_reference["config"], "two ways to edit are not two seeds of one"
    assert (own_style_run / "report-reference/report.html").stat().st_size > 1000
    assert set(latent) == set(reference)
    assert latent["diversity.l1", "Eyeglasses"] > 0 and reference["diversity.l1", "Eyeglasses"] > 0
    for name in ("edit_error", "diversity.l1"):
        assert latent[name, "Eyeglasses"] != reference[name, "Eyeglasses"]
    for name in ("cycle.l1", "identity.l1"):  # taken back in the face's own style, not in another face's
        assert (name, "Eyeglasses") in reference


def test_invalid_style_source_is_refused(
    stargan_v2_run: Path, sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, styles, expected in (
        (stargan_v2_run, "refrence", "expected latent or reference, did you mean 'reference'?"),
        (sagan_run, "reference", "--styles reference: this editor takes no style from other faces"),
    ):
        out = tmp_path / "report"
        assert main(["evaluate", str(run), "--styles", styles, "--out", str(out), "--device", "cpu", *METRICS]) == 2
        said = capsys.readouterr().err
        assert expected in said and "Traceback" not in said and not out.exists()


def test_too_few_reference_faces_are_reported(
    stargan_v2_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--styles", "reference", "--faces", "1", "--out", str(tmp_path / "report"), "--device", "cpu"]
    assert main(["evaluate", str(stargan_v2_run), *options, *METRICS]) == 2
    said = capsys.readouterr().err
    assert "there is no reference that shows" in said and "the 1 held-out faces" in said


def test_compare_uses_attributes_shared_by_runs(
    stargan_v2_run: Path,
    sagan_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the faces that both edit: of several domains, one of them edits faces that show one."""
    out = tmp_path / "comparison"
    monkeypatch.setattr(StyleEditor, "find_supported", lambda self, own: own[:, 0] > 0.5)
    options = ["--data", "drawn", *make_set_options(["data.held_out=8", "data.faces=32"]), "--device", "cpu"]
    options += ["--metrics", "edit_error,diversity"]
    assert main(["compare", str(sagan_run), str(stargan_v2_run), *options, "--out", str(out)]) == 0
    told = re.search(r"on the (\d+) held-out faces that every one of these runs can edit", capsys.readouterr().out)
    assert told is not None and 0 < int(told[1]) < 8
    content = json.loads((out / "compare.json").read_text())
    assert set(content["entrants"]) == {"attributes", "styles"}
    columns = {column["name"]: column for column in content["columns"] if column["attribute"] == "Eyeglasses"}
    for name in ("edit_error", "diversity.l1"):
        assert set(columns[name]["cells"]) == {"attributes", "styles"} and columns[name]["key"]["n"] == int(told[1])
    diversity = {
        name: measured(out / "reports" / name)[1]["diversity.l1", "Eyeglasses"] for name in ("attributes", "styles")
    }
    assert diversity["attributes"] == 0 < diversity["styles"]
    table = (out / "compare.md").read_text()
    assert "attributes" in table and "styles" in table
    assert (out / "grid-Eyeglasses.png").exists()

    monkeypatch.setattr(StyleEditor, "find_supported", lambda self, own: own[:, 0] > 1)
    assert main(["compare", str(sagan_run), str(stargan_v2_run), *options, "--out", str(out)]) == 2
    assert "these runs share none of the first" in capsys.readouterr().err


# ---- imported ----


def official_file(path: Path, size: int = 128) -> dict[str, nn.Module]:
    """A file as StarGAN v2's authors publish them, of two domains; gives its networks.

    Narrow, but for the first width, which tells the image size.
    """
    facts, style = Facts(image_size=size, domains=("a", "b")), 6
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": StarganV2Generator(
            StarganV2GeneratorConfig(width=2**14 // size, max_width=4, style_dim=style), facts
        ),
        "mapping": StarganV2Mapping(StarganV2MappingConfig(latent_dim=3, style_dim=style, width=8), facts),
        "style_encoder": StarganV2StyleEncoder(
            StarganV2StyleEncoderConfig(width=2, max_width=4, style_dim=style), facts
        ),
    }
    saved: dict[str, dict[str, Tensor]] = {}
    for name, slot in SLOTS.items():
        if slot in networks:
            state = networks[slot].state_dict()
            saved[name] = {get_official_name(slot, key, networks[slot]): value for key, value in state.items()}
    torch.save(saved, path)
    return networks


def test_published_file_imports_and_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run, photo = (
        tmp_path / "100000_nets_ema.ckpt",
        tmp_path / "run",
        save_picture(tmp_path / "me.png", size=(200, 180)),
    )
    networks = official_file(file)
    options = ["--weights", str(file), "--out", str(run)]
    assert main(["import", "stargan-v2", *options, *make_set_options(["data.attributes=female,male"])]) == 0
    assert "the discriminator is not in the files" in capsys.readouterr().out
    edit = ["edit", str(run), str(photo), "--crop", "--device", "cpu", "--out", str(tmp_path / "edits"), "--domain"]
    assert main([*edit, "male", "--reference", str(photo)]) == 0
    assert main([*edit, "mael"]) == 2
    assert "did you mean 'male'?; known: female, male" in capsys.readouterr().err
    loaded = zoogan.load(run)
    assert loaded.facts.domains == loaded.facts.attributes == ("female", "male") and loaded.facts.image_size == 128
    image = loaded.prepare_images(photo)
    with torch.no_grad():
        style = networks["style_encoder"](image, torch.tensor([1]))
        wanted = networks["generator"](image, style).clamp(-1, 1)
    torch.testing.assert_close(loaded.edit(image, domain="male", reference=image).image, wanted, rtol=0, atol=1e-5)
    written = np.asarray(Image.open(tmp_path / "edits/me-edited-like-me.png"))
    assert abs(written.astype(float) - ((wanted[0] + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 1


def test_imported_run_is_measured_on_domain_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run, root = tmp_path / "100000_nets_ema.ckpt", tmp_path / "run", tmp_path / "faces"
    official_file(file)
    for folder in ("female", "male", "other"):
        save_picture(root / f"train/{folder}/1.png"), save_picture(root / f"val/{folder}/2.png")
    assert (
        main(
            [
                "import",
                "stargan-v2",
                "--weights",
                str(file),
                "--out",
                str(run),
                *make_set_options(["data.attributes=female,male"]),
            ]
        )
        == 0
    )
    measure = ["evaluate", str(run), "--device", "cpu", "--metrics", "diversity"]
    assert main(measure) == 2
    assert "say where they are with --root DIR" in capsys.readouterr().err
    assert main([*measure, "--root", str(root)]) == 0
    about, values = measured(run / "report")
    assert about["iteration"] is None and {attribute for _, attribute in values} == {"female", "male", None}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("data.attributes=female", "know 2 domains, but 1 "),
        ("data.attributes=a,b,c", "know 2 domains, but 3 are named"),
    ],
)
def test_wrong_number_of_domain_names_is_refused(
    names: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official_file(tmp_path / "1_nets_ema.ckpt")
    options = ["--weights", str(tmp_path), "--out", str(tmp_path / "run"), *make_set_options([names])]
    assert main(["import", "stargan-v2", *options]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "run").exists()
