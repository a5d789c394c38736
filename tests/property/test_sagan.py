"""SaGAN: invariants of its masked edit, its batch statistics, its discriminator's heads and its importer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import zoogan
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.layers.norm import has_batch_norm
from zoogan.pictures.photo import save_image
from zoogan.testing.strategies import batches, make_faces, make_labels, seeds, sizes
from zoogan_sagan.config import SaganDiscriminatorConfig, SaganGeneratorConfig
from zoogan_sagan.networks import SaganDiscriminator, SaganGenerator, select_label_scores
from zoogan_sagan.weights import (
    FIRST_VERSION,
    choose_version,
    convert_transposed_weight,
    import_sagan,
    map_body_names,
    map_discriminator_names,
)

counts = st.integers(1, 3)
options = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(["instance", "group"]),
        "res_norm": st.sampled_from(["batch", "instance", "group"]),
        "upsample": st.sampled_from(["transpose", "resize"]),
        "kernel": st.sampled_from([3, 7]),
        "downsamplings": st.integers(1, 3),
        "mask_sees_label": st.booleans(),
        "skip": st.booleans(),
    }
)


def facts(size: int, a: int) -> Facts:
    return Facts(image_size=size, attributes=tuple(f"A{k}" for k in range(a)))


def generator(seed: int, size: int, a: int, **chosen: Any) -> SaganGenerator:
    torch.manual_seed(seed)
    return SaganGenerator(SaganGeneratorConfig(width=4, blocks=1, **chosen), facts(size, a))


def discriminator(seed: int, size: int, a: int, **chosen: Any) -> SaganDiscriminator:
    torch.manual_seed(seed)
    return SaganDiscriminator(SaganDiscriminatorConfig(width=4, **chosen), facts(size, a))


# ---- the masked edit ----


@given(seed=seeds, size=sizes, n=st.integers(2, 3), a=counts, chosen=options, train=st.booleans())
def test_edit_mixes_image_and_raw_by_mask(
    seed: int, size: int, n: int, a: int, chosen: dict[str, Any], train: bool
) -> None:
    network, image, target = (
        generator(seed, size, a, **chosen).train(train),
        make_faces(seed, n, size),
        make_labels(seed, n, a),
    )
    edited = network(image, target)
    assert edited.mask is not None and edited.raw is not None
    assert edited.mask.shape == (n, 1, size, size) and edited.image.shape == edited.raw.shape == image.shape
    assert edited.mask.min() >= 0 and edited.mask.max() <= 1 and edited.raw.abs().max() <= 1
    torch.testing.assert_close(edited.image, edited.raw * edited.mask + image * (1 - edited.mask))
    low, high = torch.minimum(image, edited.raw) - 1e-6, torch.maximum(image, edited.raw) + 1e-6
    assert ((low <= edited.image) & (edited.image <= high)).all()


@given(seed=seeds, n=st.integers(2, 3), a=counts, chosen=options)
def test_mask_depends_on_label_only_if_configured(seed: int, n: int, a: int, chosen: dict[str, Any]) -> None:
    network, image, target = generator(seed, 16, a, **chosen).eval(), make_faces(seed, n, 16), make_labels(seed, n, a)
    one, other = network(image, target), network(image, 1 - target)
    assert not torch.equal(one.raw, other.raw)
    assert torch.equal(one.mask, other.mask) is not chosen["mask_sees_label"]


@pytest.mark.slow
@given(seed=seeds, n=batches)
def test_closed_mask_returns_input_and_open_mask_raw(seed: int, n: int) -> None:
    image, target = make_faces(seed, n, 16), make_labels(seed, n, 1)
    assert torch.equal(generator(seed, 16, 1, mask_bias=-1e4).eval()(image, target).image, image)
    edited = generator(seed, 16, 1, mask_bias=1e4).eval()(image, target)
    torch.testing.assert_close(edited.image, edited.raw)


@pytest.mark.slow
@given(seed=seeds, n=st.integers(2, 4), chosen=options)
def test_eval_treats_faces_independently(seed: int, n: int, chosen: dict[str, Any]) -> None:
    network, image, target = generator(seed, 16, 1, **chosen), make_faces(seed, n, 16), make_labels(seed, n, 1)
    network(image, target)  # move the running statistics off their start
    network.eval()
    before = copy.deepcopy(network.state_dict())
    torch.testing.assert_close(
        network(image, target).image[1:2], network(image[1:2], target[1:2]).image, rtol=1e-4, atol=1e-5
    )
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.slow
@given(seed=seeds, chosen=options, size=sizes)
def test_gradients_reach_both_branches_and_image(seed: int, chosen: dict[str, Any], size: int) -> None:
    network, image = generator(seed, size, 1, **chosen), make_faces(seed, 2, size).requires_grad_()
    network(image, make_labels(seed, 2, 1)).image.square().mean().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        whole, judge = (
            SaganGenerator(SaganGeneratorConfig(), facts(128, 1)),
            SaganDiscriminator(SaganDiscriminatorConfig(), facts(128, 1)),
        )
    size = {name: sum(p.numel() for p in network.parameters()) for name, network in
            {"AMN": whole.modification, "SAN": whole.attention, "D": judge}.items()}  # fmt: skip
    assert size == {"AMN": 6_112_675, "SAN": 6_107_969, "D": 11_190_754}


@torch.no_grad()
def test_initial_mask_follows_its_bias() -> None:
    image, target = make_faces(0, 2, 32), make_labels(0, 2, 1)
    assert abs(float(generator(0, 32, 1)(image, target).mask.mean()) - 0.5) < 0.05
    assert abs(float(generator(0, 32, 1, mask_bias=1.0)(image, target).mask.mean()) - 0.731) < 0.05


def test_indivisible_image_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        generator(0, 20, 1, downsamplings=3)


# ---- encode once, decode often ----


@pytest.mark.slow
@given(seed=seeds, n=st.integers(2, 3), chosen=options, times=st.integers(1, 3))
def test_second_decode_equals_second_forward(seed: int, n: int, chosen: dict[str, Any], times: int) -> None:
    """Outputs, and the running statistics that the official order of forwards leaves behind."""
    shared, apart = generator(seed, 16, 1, **chosen), generator(seed, 16, 1, **chosen)
    image = make_faces(seed, n, 16)
    encoded = shared.encode(image)
    for k in range(times):
        target = make_labels(seed + k, n, 1)
        one, other = shared(image, target, encoded), apart(image, target)
        torch.testing.assert_close(one.image, other.image)
        torch.testing.assert_close(one.mask, other.mask)
    for (key, value), expected in zip(shared.state_dict().items(), apart.state_dict().values()):
        torch.testing.assert_close(value, expected, msg=key)
    assert has_batch_norm(shared) is (chosen["res_norm"] == "batch")


@pytest.mark.slow
@given(seed=seeds)
def test_norm_replay_changes_no_gradient(seed: int) -> None:
    shared, apart = generator(seed, 16, 1), generator(seed, 16, 1)
    image, target = make_faces(seed, 2, 16), make_labels(seed, 2, 1)
    encoded = shared.encode(image)
    (shared(image, target, encoded).image + shared(image, 1 - target, encoded).image).square().mean().backward()
    (apart(image, target).image + apart(image, 1 - target).image).square().mean().backward()
    for one, other in zip(shared.parameters(), apart.parameters()):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_compiled_residual_blocks_equal_eager() -> None:
    """Gradients, and the running statistics: recorded inside of what is compiled and replayed outside of it. The blocks
    have all of the attention's batch norms; compiling the rest of it takes twice as long."""
    torch._dynamo.reset()
    eager, compiled = (generator(0, 16, 1, res_norm="batch", downsamplings=1, kernel=3).double() for _ in range(2))
    compiled.attention.residual.compile(backend="aot_eager")
    for seed in (0, 1):  # the second batch meets what the first one left behind
        image, target = make_faces(seed, 2, 16).double(), make_labels(seed, 2, 1).double()
        for network in (eager, compiled):
            encoded = network.encode(image)
            edits = [network(image, each, encoded) for each in (target, 1 - target)]
            (edits[0].image + edits[1].image).square().mean().backward()
    for one, other in zip(eager.parameters(), compiled.parameters()):
        torch.testing.assert_close(one.grad, other.grad)
    buffers = dict(eager.named_buffers())
    assert {int(value) for key, value in buffers.items() if key.endswith("num_batches_tracked")} == {4}
    for key, value in compiled.named_buffers():
        torch.testing.assert_close(value, buffers[key], msg=key)


# ---- the discriminator ----


@given(seed=seeds, size=sizes, n=batches, a=counts, heads=st.sampled_from(["joint", "label"]))
def test_discriminator_heads(seed: int, size: int, n: int, a: int, heads: str) -> None:
    """Logits never depend on the claim; scores do exactly with label heads, attribute by attribute."""
    network, image, claim = (
        discriminator(seed, size, a, score_heads=heads),
        make_faces(seed, n, size),
        make_labels(seed, n, a),
    )
    verdict, other = network(image, claim), network(image, 1 - claim)
    assert verdict.attributes.shape == (n, a) and torch.equal(verdict.attributes, other.attributes)
    assert verdict.score.shape == (n, a if heads == "label" else 1, 2, 2)
    assert torch.equal(verdict.score, other.score) is (heads == "joint")
    if heads == "label":
        first = torch.cat([claim[:, :1], 1 - claim[:, 1:]], 1)
        assert torch.equal(network(image, first).score[:, :1], verdict.score[:, :1])


@given(seed=seeds, n=batches, a=counts)
def test_label_scores_select_the_claimed_map(seed: int, n: int, a: int) -> None:
    score = torch.arange(n * 2 * a * 4.0).view(n, 2 * a, 2, 2)
    claim = make_labels(seed, n, a)
    picked = select_label_scores(score, claim)
    for i in range(n):
        for k in range(a):
            assert torch.equal(picked[i, k], score[i, 2 * k + int(claim[i, k])])


# ---- import ----


def official_folder(
    folder: Path, size: int, change: Callable[[SaganGenerator], None] = lambda ours: None
) -> tuple[SaganGenerator, SaganDiscriminator]:
    """Our random networks, changed, in the official layout: `results/<experiment>` with its setting.json."""
    ours, judge = generator(0, size, 1), discriminator(1, size, 1)
    change(ours)
    names: dict[str, str] = {}
    for official, body in (("AMN", "modification"), ("SAN", "attention")):
        names |= map_body_names(official, body, len(ours.modification.down), 1)
    state = ours.state_dict()
    for body in ("modification", "attention"):  # its own inverse
        state[f"{body}.head.weight"] = convert_transposed_weight(state[f"{body}.head.weight"])
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    torch.save({k: state[v] for k, v in names.items()}, checkpoint / "1000032.G.pth")
    torch.save(
        {k: judge.state_dict()[v] for k, v in map_discriminator_names(len(judge.trunk)).items()},
        checkpoint / "1000032.D.pth",
    )
    for older in ("0050400.G.pth", "0050400.D.pth", "1000032.G_opt.pth"):
        (checkpoint / older).write_bytes(b"must not be read")
    setting = {"target_attr": "Smiling", "image_size": size, "l1": 7, "l2": 70, "lgp": 5, "d_iters": 2,
               "lr": 0.001, "beta1": 0.4, "beta2": 0.9, "batch_size": 8, "total_kimg": 16}  # fmt: skip
    (folder / "setting.json").write_text(json.dumps(setting))
    return ours, judge


def test_import_restores_networks_and_training_settings(tmp_path: Path) -> None:
    ours, judge = official_folder(tmp_path, 32)
    result = import_sagan([tmp_path], {})
    assert result.config["data"] == {
        "source": "celeba", "root": None, "crop": 170, "split": "number", "balance": None, "image_size": 32,
        "attributes": ["Smiling"], "batch": 8,
    }  # fmt: skip
    assert result.config["weights"]["cycle"] == 7 and result.config["weights"]["identity"] == 70
    assert result.config["penalty"]["weight"] == 5 and result.config["cadence"]["discriminator_repeat"] == 2
    assert result.config["training"]["iterations"] == 1000
    adam = result.config["optimizers"]["generator"]
    assert (adam["lr"], adam["betas"]) == (0.001, [0.4, 0.9])
    rebuilt = SaganGenerator(SaganGeneratorConfig(**result.config["generator"]), facts(32, 1)).eval()
    rebuilt.load_state_dict(result.networks["generator"], strict=True)
    image, target = make_faces(0, 2, 32), make_labels(0, 2, 1)
    torch.testing.assert_close(rebuilt(image, target).image, ours.eval()(image, target).image)
    discriminators = SaganDiscriminator(SaganDiscriminatorConfig(**result.config["discriminator"]), facts(32, 1))
    discriminators.load_state_dict(result.networks["discriminator"], strict=True)
    assert torch.equal(discriminators(image, target).score, judge(image, target).score)
    assert result.choose is choose_version
    assert FIRST_VERSION == {"generator": {"skip": False}, "discriminator": {"slope": 0.01}}


def test_import_folder_uses_newest_checkpoint_pair(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        official_folder(folder, 16)
    (one / "checkpoint" / "2000000.G.pth").write_bytes(b"must not be read")  # saved before its discriminator was
    assert len(import_sagan([one], {}).networks) == 2
    with pytest.raises(ConfigError, match=rf"setting\.json of several experiments, in {one}, {other}: name one"):
        import_sagan([tmp_path], {})
    (other / "setting.json").unlink()
    with pytest.raises(ConfigError, match=rf"weights of several experiments, in {one}/checkpoint, {other}/checkpoint"):
        import_sagan([tmp_path], {})


@torch.no_grad()
def shuts_mask(ours: SaganGenerator, skip: bool) -> None:
    """Make the mask 0 if residual blocks have their sum (or, `skip` False, have none), and 1 otherwise."""
    body = ours.attention
    for name, parameter in body.named_parameters():
        if name.startswith("residual") or (name.startswith("up") and name.endswith("bias")):
            parameter.zero_()  # without the sum nothing comes through, and the head says its bias
    sign = -1.0 if skip else 1.0
    body.head.weight.fill_(100 * sign)
    body.head.bias.fill_(-20 * sign)


@pytest.mark.slow
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("photos", [0, 2])
def test_import_keeps_layout_that_reconstructs_faces(
    tmp_path: Path, skip: bool, photos: int, capsys: pytest.CaptureFixture[str]
) -> None:
    official_folder(tmp_path, 32, lambda ours: shuts_mask(ours, skip))
    options = []
    for k in range(photos):
        save_image(make_faces(k, 1, 40)[0], tmp_path / f"{k}.png")
        options += ["--photo", str(tmp_path / f"{k}.png")]
    assert main(["import", "sagan", "--weights", str(tmp_path), "--out", str(tmp_path / "run"), *options]) == 0
    said = capsys.readouterr().out
    assert f"edits of {'2 photos' if photos else '16 drawn faces'} to their own labels" in said
    assert "with generator.skip=false, discriminator.slope=0.01" in said
    assert f"the {'first' if skip else 'second'} was taken" in said and "neither" not in said
    config = zoogan.load(tmp_path / "run").config.model_dump(mode="json")
    assert config["generator"]["skip"] is skip and config["discriminator"]["slope"] == (0.2 if skip else 0.01)


def test_import_settings_disable_layout_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official_folder(tmp_path, 32, lambda ours: shuts_mask(ours, True))
    said = ["--set", "generator.skip=false"]
    assert main(["import", "sagan", "--weights", str(tmp_path), "--out", str(tmp_path / "run"), *said]) == 0
    assert "to their own labels" not in capsys.readouterr().out
    assert zoogan.load(tmp_path / "run").config.model_dump()["generator"]["skip"] is False


@pytest.mark.slow
def test_import_without_reconstruction_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official_folder(tmp_path, 32, open_mask)
    assert main(["import", "sagan", "--weights", str(tmp_path), "--out", str(tmp_path / "run")]) == 0
    assert "neither returns the faces" in capsys.readouterr().out


@torch.no_grad()
def open_mask(ours: SaganGenerator) -> None:
    ours.attention.head.weight.zero_()
    ours.attention.head.bias.fill_(20)


@pytest.mark.slow
def test_imported_run_names_celeba_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official_folder(tmp_path, 32, lambda ours: shuts_mask(ours, True))
    run = tmp_path / "run"
    assert main(["import", "sagan", "--weights", str(tmp_path), "--out", str(run)]) == 0
    config = zoogan.load(run).config.model_dump(mode="json")["data"]
    assert (config["source"], config["root"], config["crop"], config["split"]) == ("celeba", None, 170, "number")
    assert config["image_size"] == 32 and config["attributes"] == ["Smiling"]
    for verb in (["evaluate", str(run)], ["edit", str(run), "--grid"]):
        assert main(verb) == 2
        assert "source 'celeba' reads files; say where they are with --root DIR" in capsys.readouterr().err
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    numbers = (3, 7, 8, 200_001, 200_002, 200_003)
    for k in numbers:
        save_image(make_faces(k, 1, 60)[0], root / "img_align_celeba" / f"{k:06}.jpg")
    lines = [str(len(numbers)), "Smiling", *(f"{k:06}.jpg {1 if k % 2 else -1}" for k in numbers)]
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    people = "".join(f"{k:06}.jpg {k}\n" for k in numbers)
    (root / "identity_CelebA.txt").write_text(people)  # by itself the source would split by person
    measured = ["--root", str(root), "--metrics", "reconstruction", "--device", "cpu"]
    for data in ([], ["--data", "celeba"]):
        assert main(["evaluate", str(run), *data, *measured]) == 0
        report = json.loads((run / "report" / "report.json").read_text())
        assert report["faces"] == 3, "the files from 200001 on, which the weights have not seen"


def test_import_accepts_another_source(tmp_path: Path) -> None:
    official_folder(tmp_path, 32, lambda ours: shuts_mask(ours, True))
    other = ["--set", "data.source=drawn"]
    assert main(["import", "sagan", "--weights", str(tmp_path), "--out", str(tmp_path / "run"), *other]) == 0
    data = zoogan.load(tmp_path / "run").config.data
    assert (data.source, data.image_size, data.attributes) == ("drawn", 32, ("Smiling",))


@given(seed=seeds, size=st.integers(3, 7))
def test_last_layer_conversion_is_exact(seed: int, size: int) -> None:
    weight = make_faces(seed, 4, 7)[:, :2]
    x = make_faces(seed + 1, 1, size)[:, :1].expand(1, 4, -1, -1).contiguous()
    transposed = torch.nn.functional.conv_transpose2d(x, weight, padding=3)
    torch.testing.assert_close(torch.nn.functional.conv2d(x, convert_transposed_weight(weight), padding=3), transposed)


def test_import_reports_mismatches(tmp_path: Path) -> None:
    official_folder(tmp_path, 16)
    files = [tmp_path / "checkpoint" / f"1000032.{side}.pth" for side in "GD"]
    with pytest.raises(ConfigError, match="know 1 attributes, but none are named"):
        import_sagan(files, {})
    assert import_sagan(files, {"attributes": ["Eyeglasses"]}).config["data"]["image_size"] == 16
    with pytest.raises(ConfigError, match="the discriminator says 16, image_size says 128"):
        import_sagan(files, {"attributes": ["Eyeglasses"], "image_size": 128})
    (tmp_path / "setting.json").write_text("[")
    with pytest.raises(ConfigError, match=r"setting\.json: not valid JSON"):
        import_sagan([tmp_path], {})
    with pytest.raises(ConfigError, match=r"no <number>\.G\.pth"):
        empty = tmp_path / "empty"
        empty.mkdir()
        import_sagan([empty], {})
