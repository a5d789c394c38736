"""Faces made of parts, looked at: pictures of the parts, films and sheets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from support.part_runs import CELL_SIZE, RUN_PARTS, ErrorReader
from support.pictures import make_pixels
from zoogan.cli import main
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import quantize_image
from zoogan.pictures.sheet import LEGIBLE
from zoogan.runs.loaded import LoadedRun
from zoogan.training.summary import suggest_commands

# ---- pictures and films ----


def test_zoo_parts_writes_a_sheet(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "parts.png"
    assert main(["parts", str(untrained_part_run), "--seed", "3", "--out", str(out), "--device", "cpu"]) == 0
    assert "rows: face, segmentation, mask of the part, depth of the part" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[1] == 4 + len(RUN_PARTS) * CELL_SIZE
    top = sheet.shape[0] - 4 * CELL_SIZE
    assert top > 4 and (sheet[: top - 4] < 128).any(), "captions"

    def cell(row: int, column: int) -> np.ndarray:
        enlarged = sheet[top + row * CELL_SIZE :, 4 + column * CELL_SIZE :][:LEGIBLE, :LEGIBLE]
        return enlarged[:: LEGIBLE // 16, :: LEGIBLE // 16]

    whole = loaded_part_run.sample(seed=3)
    assert whole.segmentation is not None
    assert np.array_equal(cell(0, 3), make_pixels(whole.image))
    assert np.array_equal(cell(1, 3), make_pixels(colour_segmentation(whole.segmentation, len(RUN_PARTS))))
    assert (cell(2, 0) == 255).all(), "alone, the background is everywhere"
    assert len({cell(0, k).tobytes() for k in range(4)}) == 4
    made = loaded_part_run.synthesis_editor.generator(
        whole.extras["latents"], loaded_part_run.synthesis_editor.draw_noise([3])
    )
    assert made.coarse is not None and made.depth is not None
    mask = made.coarse[:, 3:].repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
    assert np.array_equal(cell(2, 3), make_pixels(mask))
    depth, shown = made.depth[0, 2].flatten(), cell(3, 2)[::2, ::2, 0].flatten()
    assert shown[int(depth.argmax())] == 255 and shown[int(depth.argmin())] == 0
    assert main(["sample", str(untrained_part_run), "--seed", "3", "-n", "1", "--out", str(tmp_path / "one")]) == 0
    file, again = tmp_path / "one/seed-3-latent.safetensors", tmp_path / "again.png"
    assert main(["parts", str(untrained_part_run), "--latents", str(file), "--out", str(again), "--device", "cpu"]) == 0
    assert np.array_equal(np.asarray(Image.open(again)), sheet)


def frames(path: Path) -> list[np.ndarray]:
    """The frames of a GIF, those that stand still for long as one."""
    with Image.open(path) as film:
        shown = []
        for k in range(film.n_frames):
            film.seek(k)
            shown.append(np.asarray(film.convert("RGB"), dtype=int))
        return shown


@pytest.mark.slow
def test_film_moves_one_part(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoogan.pictures.film import BETWEEN, save_film

    film, save = tmp_path / "hair.gif", save_film
    walked: list[torch.Tensor] = []

    def kept(shots: Iterable[torch.Tensor], path: Path) -> Path:
        walked.extend(shots)
        return save(walked, path)

    monkeypatch.setattr("zoogan.workflows.sample.save_film", kept)
    options = ["--film", str(film), "--part", "hair", "--only", "texture", "--segmentation", "-n", "3", "--seed", "5"]
    assert main(["sample", str(untrained_part_run), *options, "--device", "cpu"]) == 0
    assert len(walked) == 3 * BETWEEN + 1 and torch.equal(walked[0], walked[-1]) and film.is_file()
    latents = loaded_part_run.synthesis_editor.draw_latents([5, 6, 7])
    for k in range(3):
        met = latents[:1].clone()
        met[:, 6] = latents[k, 6]
        made = loaded_part_run.synthesis_editor.synthesise(met)
        assert made.segmentation is not None
        shot = walked[k * BETWEEN][:, :: LEGIBLE // 16, :: LEGIBLE // 16]
        near = torch.cat([quantize_image(made.image)[0], colour_segmentation(made.segmentation, len(RUN_PARTS))[0]], 2)
        assert (shot.int() - near.int()).abs().max() <= 1
    assert len(frames(film)) > 30 and frames(film)[0].shape == (LEGIBLE, 2 * LEGIBLE, 3)
    steps = torch.stack([shot[:, :, :LEGIBLE].float() for shot in walked]).diff(dim=0).abs().amax((1, 2, 3))
    assert steps.max() < 60 and steps.max() > 0, "no jumps, and something happens"


def test_impossible_part_pictures_are_refused(
    untrained_part_run: Path, stylegan2_run: Path, sagan_run: Path, read_error: ErrorReader
) -> None:
    said = read_error("sample", untrained_part_run, "--part", "hair", "--only", "shape", "--segmentation")
    assert len(said.strip().splitlines()) == 3 and "--part has no effect without --film: add --film FILE" in said
    film = ("--film", "x.gif")
    assert "--only has no effect without --part: add --part NAME" in read_error(
        "sample", untrained_part_run, *film, "--only", "shape"
    )
    assert "did you mean 'hair'?" in read_error("sample", untrained_part_run, *film, "--part", "hairs")
    assert "did you mean 'shape'?" in read_error(
        "sample", untrained_part_run, *film, "--part", "hair", "--only", "shap"
    )
    assert "in one piece" in read_error("sample", stylegan2_run, *film, "--part", "hair")
    assert "in one piece" in read_error("sample", stylegan2_run, *film, "--segmentation")
    assert "in one piece" in read_error("parts", stylegan2_run)
    assert "use `zoo edit`" in read_error("parts", sagan_run)
    said = read_error(
        "parts", untrained_part_run, "--seed", 1, "--latents", "x.safetensors", "--truncation", 0.5, "--out", "folder"
    )
    assert len(said.strip().splitlines()) == 3 and "leave one of them out" in said and "expected a picture" in said
    assert "x.safetensors: no such file" in read_error("parts", untrained_part_run, "--latents", "x.safetensors")


def test_sheet_shows_segmentation_and_replaced_parts(
    untrained_part_run: Path, loaded_part_run: LoadedRun, tmp_path: Path
) -> None:
    columns = loaded_part_run.editor.make_columns(torch.zeros(2, 3, 16, 16), torch.zeros(2, 0))
    assert [column.caption for column in columns[8:]] == [
        "first, its segmentation", "first, hair of second", "its segmentation",
        "first, face of second", "its segmentation",
    ]  # fmt: skip
    wanted = loaded_part_run.edit(
        loaded_part_run.sample(2), part="hair", donor=loaded_part_run.synthesis_editor.draw_latents([2, 3])
    )
    torch.testing.assert_close(columns[9].images, wanted.image)
    assert torch.equal(columns[8].images, loaded_part_run.sample(2).segmentation)
    assert (
        main(["edit", str(untrained_part_run), "--grid", "--out", str(tmp_path / "grid.png"), "--device", "cpu"]) == 0
    )
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    assert sheet.shape[1] == 4 + 13 * CELL_SIZE
    layout = loaded_part_run.sample(8).segmentation
    assert layout is not None
    first = sheet[-8 * CELL_SIZE :, 4 + 8 * CELL_SIZE :][:LEGIBLE, :LEGIBLE][:: LEGIBLE // 16, :: LEGIBLE // 16]
    assert np.array_equal(first, make_pixels(colour_segmentation(layout[:1], len(RUN_PARTS))))


# ---- the end of a training ----


def test_part_training_suggests_part_commands(untrained_part_run: Path, loaded_part_run: LoadedRun) -> None:
    said = "\n".join(suggest_commands(loaded_part_run.editor, untrained_part_run, loaded_part_run.facts.attributes))
    part = "hair" if "hair" in RUN_PARTS else RUN_PARTS[-1]
    assert (
        f"zoo edit {untrained_part_run} --seed 0 --part {part} --from-seed 1" in said
        and f"zoo parts {untrained_part_run}" in said
    )
    assert "zoo direction" not in said and "PHOTO" not in said
