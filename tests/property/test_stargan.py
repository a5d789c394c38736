"""StarGAN: what must hold for every generator and discriminator, its schedule and its importer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.importing.official import read_state_dict
from zoogan.interfaces import Clock
from zoogan.testing.strategies import batches, make_faces, make_labels, make_noise, seeds, sizes
from zoogan.training.importing import import_weights
from zoogan_stargan.config import Repo2018Config, StarganDiscriminatorConfig, StarganGeneratorConfig
from zoogan_stargan.networks import StarganDiscriminator, StarganGenerator
from zoogan_stargan.schedule import make_repo_2018_schedule
from zoogan_stargan.weights import import_stargan, map_discriminator_names, map_generator_names

counts = st.integers(1, 5)
NAMES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")


def facts(size: int, a: int) -> Facts:
    return Facts(image_size=size, attributes=NAMES[:a])


def generator(seed: int, size: int, a: int) -> StarganGenerator:
    torch.manual_seed(seed)
    return StarganGenerator(StarganGeneratorConfig(width=4, blocks=1), facts(size, a))


def discriminator(seed: int, size: int, a: int) -> StarganDiscriminator:
    torch.manual_seed(seed)
    return StarganDiscriminator(StarganDiscriminatorConfig(width=4), facts(size, a))


@given(seed=seeds, size=sizes, n=batches, a=counts)
def test_generator_shapes_range_and_modes(seed: int, size: int, n: int, a: int) -> None:
    network, image, target = generator(seed, size, a), make_faces(seed, n, size), make_labels(seed, n, a)
    edited = network(image, target)
    assert edited.image.shape == image.shape and edited.mask is None and edited.raw is None
    assert edited.image.abs().max() <= 1
    assert torch.equal(edited.image, network.eval()(image, target).image)  # the official code never calls eval()
    assert not list(network.buffers())


@given(seed=seeds, n=st.integers(2, 4), a=counts)
def test_generator_treats_faces_independently(seed: int, n: int, a: int) -> None:
    network, image, target = generator(seed, 16, a), make_faces(seed, n, 16), make_labels(seed, n, a)
    whole = network(image, target).image
    one = network(image[1:2], target[1:2]).image
    torch.testing.assert_close(whole[1:2], one, rtol=1e-4, atol=1e-5)


@given(seed=seeds, a=counts, k=st.integers(0, 4))
def test_every_attribute_reaches_the_image(seed: int, a: int, k: int) -> None:
    network, image = generator(seed, 16, a), make_faces(seed, 2, 16)
    target = torch.zeros(2, a)
    flipped = target.clone()
    flipped[:, k % a] = 1
    assert (network(image, target).image - network(image, flipped).image).abs().max() > 1e-5


@given(seed=seeds, size=sizes, a=counts)
def test_gradients_reach_every_parameter_and_the_image(seed: int, size: int, a: int) -> None:
    network, image = generator(seed, size, a), make_faces(seed, 2, size).requires_grad_()
    network(image, make_labels(seed, 2, a)).image.square().mean().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_generator_accepts_divisible_sizes_only() -> None:
    network = generator(0, 16, 2)
    assert network(make_noise(0, 1, 3, 24, 32), make_labels(0, 1, 2)).image.shape == (1, 3, 24, 32)
    with pytest.raises(ConfigError, match="multiple of 4"):
        generator(0, 18, 1)


@given(seed=seeds, size=sizes, n=batches, a=counts)
def test_discriminator_ignores_label_and_batch(seed: int, size: int, n: int, a: int) -> None:
    network, image, claim = discriminator(seed, size, a), make_faces(seed, n, size), make_labels(seed, n, a)
    verdict, other = network(image, claim), network(image, 1 - claim)
    assert verdict.score.shape == (n, 1, 2, 2) and verdict.attributes.shape == (n, a)
    assert torch.equal(verdict.score, other.score) and torch.equal(verdict.attributes, other.attributes)
    alone = network(image[:1], claim[:1])
    torch.testing.assert_close(verdict.score[:1], alone.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(verdict.attributes[:1], alone.attributes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "stages"), [(16, 3), (64, 5), (128, 6), (256, 6)])
def test_discriminator_stages(size: int, stages: int) -> None:
    with torch.device("meta"):
        network = StarganDiscriminator(StarganDiscriminatorConfig(width=2), facts(size, 1))
        verdict = network(torch.zeros(1, 3, size, size), torch.zeros(1, 1))
    assert len(network.trunk) == stages
    assert verdict.score.shape == (1, 1, size >> stages, size >> stages) and verdict.attributes.shape == (
        1,
        1,
    )


@pytest.mark.parametrize(
    ("a", "size", "total"),
    [(1, None, 8_417_984), (5, None, 8_430_528), (15, None, 8_461_888), (5, 64, 44_731_328),
     (5, 128, 44_762_048), (5, 192, 44_813_248), (8, 128, 44_786_624), (13, 256, 45_147_072)],
)  # fmt: skip
def test_published_parameter_counts(a: int, size: int | None, total: int) -> None:
    """The official networks' numbers; the discriminator's at 64 px are those of six stages."""
    names = tuple(f"A{k}" for k in range(a))
    with torch.device("meta"):
        if size is None:
            network: torch.nn.Module = StarganGenerator(
                StarganGeneratorConfig(), Facts(image_size=128, attributes=names)
            )
        else:
            network = StarganDiscriminator(
                StarganDiscriminatorConfig(stages=6), Facts(image_size=size, attributes=names)
            )
    assert sum(p.numel() for p in network.parameters()) == total


# ---- the official code's learning rate ----


@given(iteration=st.integers(0, 199_999))
def test_repo_2018_schedule_equals_official_loop(iteration: int) -> None:
    subtractions = sum((i + 1) % 1000 == 0 and (i + 1) > 100_000 for i in range(99_999, iteration))
    factor = make_repo_2018_schedule(Repo2018Config(decay=100_000))(Clock(iteration, 200_000))
    assert factor == pytest.approx(1 - subtractions / 100_000)


@given(total=st.integers(1, 5000), decay=st.none() | st.integers(1, 9000), period=st.integers(1, 50))
def test_repo_2018_schedule_is_monotone_and_positive(total: int, decay: int | None, period: int) -> None:
    factor = make_repo_2018_schedule(Repo2018Config(decay=decay, period=period))
    values = [factor(Clock(i, total)) for i in range(0, total, max(1, total // 50))]
    assert values[0] == 1 and all(0 <= b <= a for a, b in itertools.pairwise(values))


# ---- import ----


def official_files(
    folder: Path, a: int, size: int, tracked: bool = True
) -> tuple[StarganGenerator, StarganDiscriminator]:
    """Our random networks saved in the official layout, running statistics and all."""
    ours, judge = generator(0, size, a), discriminator(1, size, a)
    for side, network in (("G", ours), ("D", judge)):
        state = network.state_dict()
        layout = {v: k for k, v in names_of(network).items()}
        saved = {layout[key]: value for key, value in state.items()}
        if tracked and side == "G":
            saved |= {f"main.{i}.{s}": torch.full((4,), 9.0) for i in (1, 4) for s in ("running_mean", "running_var")}
        torch.save(saved, folder / f"200000-{side}.ckpt", _use_new_zipfile_serialization=False)
    return ours, judge


def names_of(network: StarganGenerator | StarganDiscriminator) -> dict[str, str]:
    if isinstance(network, StarganGenerator):
        return map_generator_names(
            {f"main.{9 + k}.main.0.weight": torch.empty(0) for k in range(len(network.body.residual))}
        )[0]
    return map_discriminator_names({f"main.{2 * k}.weight": torch.empty(0) for k in range(len(network.trunk))})[0]


@pytest.mark.parametrize(("a", "size"), [(5, 32), (3, 16)])
def test_import_restores_networks(tmp_path: Path, a: int, size: int) -> None:
    """From a legacy pickle with running statistics, files in any order, architecture told by the weights."""
    ours, judge = official_files(tmp_path, a, size)
    files = [tmp_path / "200000-D.ckpt", tmp_path / "200000-G.ckpt"]
    result = import_stargan(files, {} if a == 5 else {"attributes": list(NAMES[:a])})
    assert result.config["data"] == {
        "source": "celeba", "root": None, "crop": 178, "split": "shuffle", "flip": True, "balance": None,
        "image_size": size, "attributes": list(NAMES[:a]),
    }  # fmt: skip
    assert result.facts == {"crop": 1.0, "exclusive": (NAMES[:3],)}
    assert bool(result.notes) is (a == 5)  # taken for the official five
    rebuilt = StarganGenerator(StarganGeneratorConfig(**result.config["generator"]), facts(size, a))
    rebuilt.load_state_dict(result.networks["generator"], strict=True)
    image, target = make_faces(0, 1, size), make_labels(0, 1, a)
    assert torch.equal(rebuilt(image, target).image, ours(image, target).image)
    discriminators = StarganDiscriminator(StarganDiscriminatorConfig(**result.config["discriminator"]), facts(size, a))
    discriminators.load_state_dict(result.networks["discriminator"], strict=True)
    assert torch.equal(discriminators(image, target).attributes, judge(image, target).attributes)
    assert import_stargan([tmp_path], {"attributes": list(NAMES[:a])}).networks.keys() == result.networks.keys()


@pytest.mark.parametrize(("size", "least"), [(80, 64), (96, 96)])
def test_discriminator_accepts_sizes_with_unused_border(tmp_path: Path, size: int, least: int) -> None:
    """80 pixels come down to 2 in 5 halvings, as 64 do: only the arguments, or a person, know which it was."""
    _, judge = official_files(tmp_path, 2, size)
    named = {"attributes": NAMES[:2]}
    assert import_stargan([tmp_path], named).config["data"]["image_size"] == least
    result = import_stargan([tmp_path], named | {"image_size": size})
    assert result.config["data"]["image_size"] == size
    discriminators = StarganDiscriminator(StarganDiscriminatorConfig(**result.config["discriminator"]), facts(size, 2))
    discriminators.load_state_dict(result.networks["discriminator"], strict=True)
    image, target = make_faces(0, 1, size), make_labels(0, 1, 2)
    assert torch.equal(discriminators(image, target).attributes, judge(image, target).attributes)


def test_import_folder_uses_newest_checkpoint_pair(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    official_files(one, 2, 16)
    (one / "210000-G.ckpt").write_bytes(b"must not be read")
    assert len(import_stargan([tmp_path], {"attributes": NAMES[:2]}).networks) == 2
    (one / "200000-D.ckpt").rename(one / "190000-D.ckpt")
    with pytest.raises(ConfigError, match=r"no number has all of <number>-G\.ckpt, <number>-D\.ckpt"):
        import_stargan([tmp_path], {"attributes": NAMES[:2]})
    other.mkdir()
    official_files(other, 2, 16)
    with pytest.raises(ConfigError, match=rf"weights of several experiments, in {one}, {other}: name one"):
        import_stargan([tmp_path], {"attributes": NAMES[:2]})


@pytest.mark.parametrize("told", [{"dataset": "RaFD", "rafd_crop_size": 200}, {"source": "folders"}])
def test_one_hot_import_makes_exclusive_folders(tmp_path: Path, told: dict[str, Any]) -> None:
    official_files(tmp_path, 3, 16)
    kinds = ("angry", "happy", "sad")
    result = import_stargan([tmp_path], told | {"attributes": list(kinds)})
    assert result.config["data"]["source"] == "folders" and result.config["classification"] == {"use": "softmax"}
    assert result.facts == {"exclusive": (kinds,)} and "crop" not in result.config["data"]
    assert bool(result.notes) is ("rafd_crop_size" in told)


def test_one_hot_labels_are_imported_from_the_command_line(tmp_path: Path) -> None:
    official_files(tmp_path, 3, 16)
    sets = ["--set", "data.source=folders", "--set", "data.attributes=angry,happy,sad"]
    assert main(["import", "stargan", "--weights", str(tmp_path), "--out", str(tmp_path / "run"), *sets]) == 0
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "use: softmax" in config and "source: folders" in config


def test_import_reports_mismatches(tmp_path: Path) -> None:
    official_files(tmp_path, 3, 16)
    g, d = tmp_path / "200000-G.ckpt", tmp_path / "200000-D.ckpt"
    with pytest.raises(ConfigError, match=r"know 3 attributes, but none are named"):
        import_stargan([g, d], {})
    with pytest.raises(ConfigError, match=r"know 3 attributes, but 2 are named"):
        import_stargan([g, d], {"attributes": ["A", "B"]})
    with pytest.raises(ConfigError, match=r"image size: the discriminator says 16, image_size says 128"):
        import_stargan([g, d], {"attributes": NAMES[:3], "image_size": 128})
    with pytest.raises(ConfigError, match=r"a second generator"):
        import_stargan([g, g], {})
    lacking = torch.load(g, weights_only=True)
    del lacking["main.3.weight"]
    torch.save(lacking, tmp_path / "lacking.ckpt")
    with pytest.raises(ConfigError, match=r"no 'main\.3\.weight'"):
        import_stargan([tmp_path / "lacking.ckpt"], {"attributes": NAMES[:3]})
    other = tmp_path / "other"
    other.mkdir()
    official_files(other, 2, 16)
    with pytest.raises(ConfigError, match=r"the generator says 3, the discriminator says 2"):
        import_stargan([g, other / "200000-D.ckpt"], {"attributes": NAMES[:3]})


def test_generator_alone_is_imported_for_edits(tmp_path: Path) -> None:
    official_files(tmp_path, 2, 16)
    state = torch.load(tmp_path / "200000-G.ckpt", weights_only=True)
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "alone.pt")
    settings = {"data": {"attributes": list(NAMES[:2]), "image_size": 16}}
    imported = import_weights("stargan", tmp_path / "alone.pt", out=tmp_path / "run", settings=settings)
    assert imported.run.edit(make_noise(0, 1, 3, 16, 16).clamp(-1, 1), **{NAMES[0]: 1}).image.shape == (1, 3, 16, 16)
    notes = "; ".join(imported.notes)
    assert "128 px is assumed" in notes and "the discriminator is not in the files and starts untrained" in notes


class Harmful:
    """Leaves a trace if it is ever unpickled."""

    touched = False

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return (Harmful.touch, ())

    @staticmethod
    def touch() -> None:
        Harmful.touched = True


def test_import_executes_no_code(tmp_path: Path) -> None:
    path = tmp_path / "200000-G.ckpt"
    torch.save({"main.0.weight": Harmful()}, path)
    with pytest.raises(ConfigError, match="without executing code"):
        read_state_dict(path)
    assert not Harmful.touched
    path.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="not a state_dict"):
        read_state_dict(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ConfigError, match="bare state_dict"):
        read_state_dict(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_state_dict(tmp_path / "missing.pth")


def test_import_reads_wrapped_and_safetensors_files(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a.weight": torch.arange(3.0)}
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "parallel.pth")
    save_file(state, tmp_path / "plain.safetensors")
    for name in ("parallel.pth", "plain.safetensors"):
        read = read_state_dict(tmp_path / name)
        assert list(read) == ["a.weight"] and torch.equal(read["a.weight"], state["a.weight"])
