"""Style translation on layouts: its options and what it refuses, with SMILE's layout stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from support.runs import REGISTRY
from zoogan.composition.build import compose
from zoogan.composition.rehearsal import rehearse
from zoogan.conditions.pairs import make_pairs
from zoogan.config import GameConfig, compose_config, parse_sets
from zoogan.data.label_sets import load_label_set
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Clock
from zoogan.layers import make_layout
from zoogan.testing.conformance import assert_equal_bits, collect_state_tensors, make_random_batches
from zoogan.testing.tensors import make_noise
from zoogan.training.trainer import Trainer
from zoogan_smile.config import SemanticTermConfig
from zoogan_smile.terms import SemanticTerm

ATTRIBUTES = ("Male", "Eyeglasses", "Bald", "Bangs", "Wearing_Hat")
FACTS = Facts(image_size=32, attributes=ATTRIBUTES, parts=load_label_set("celebamask-19").names)
NARROW = [
    "data.image_size=32", "data.batch=4", f"data.attributes={','.join(ATTRIBUTES)}", "generator.width=4",
    "generator.max_width=8", "style_encoder.width=4", "style_encoder.max_width=8", "discriminator.width=4",
    "discriminator.max_width=8", "mapping.width=8", "penalty.every=1", "training.iterations=8", "data.flip=true",
]  # fmt: skip


def make_config(*sets: str, method: str = "smile-layout") -> GameConfig:
    """A narrow config of the layout stage, from its drawn recipe."""
    settings = dict(setting.split("=", 1) for setting in (*NARROW, *sets))  # the last one counts
    return compose_config(
        REGISTRY.methods[method], REGISTRY, sets=parse_sets([f"{key}={value}" for key, value in settings.items()])
    )


# ---- the game ----


def make_trainer(config: GameConfig, **options: Any) -> Trainer:
    """A trainer on random layouts, with noise strengths that are not 0."""
    composition = compose(config, FACTS, REGISTRY)
    with torch.no_grad():
        for name, parameter in composition.networks["generator"].named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.3)
    return Trainer(composition, REGISTRY, Accelerator(cpu=True), make_random_batches(composition), **options)


def watch(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The masks and noise of every forward of the generator."""
    generator, calls = trainer.networks["generator"], []
    forward = generator.forward

    def watched(image: Tensor, style: Tensor, masks: Any = None, encoded: Any = None, noise: Any = None) -> Tensor:
        calls.append((image, masks, noise))
        return forward(image, style, masks, encoded, noise)

    monkeypatch.setattr(generator, "forward", watched)
    return calls


def test_noise_is_drawn_once_for_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discriminator and generator judge the same translation, noise included; other forwards have their own."""
    trainer = make_trainer(make_config(), sharing=False)
    calls = watch(trainer, monkeypatch)
    trainer.iterate()
    noises = [call[2] for call in calls]
    assert len(noises) == 4, "the discriminator's, then translation, way back and second style"
    assert all(torch.equal(a, b) for a, b in zip(noises[0], noises[1], strict=True))
    for one, other in ((1, 2), (1, 3), (2, 3)):
        assert not any(torch.equal(a, b) for a, b in zip(noises[one], noises[other], strict=True))
    assert not torch.equal(noises[0][0], noises[0][1]), "each place has its own"
    trainer.iterate()
    assert not torch.equal(calls[4][2][0], noises[0][0]), "each iteration has its own"


def test_sharing_with_noise_is_bit_equal() -> None:
    states = []
    for sharing in (True, False):
        trainer = make_trainer(make_config(), sharing=sharing)
        for _ in range(2):
            trainer.iterate()
        states.append(collect_state_tensors(trainer))
    assert_equal_bits(*states, "sharing")


@pytest.mark.parametrize("choice", ["source", "translated"])
def test_cycle_masks_are_those_of_their_choice(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(make_config(f"cycle_masks={choice}", "weights.diversity=0"))
    calls = watch(trainer, monkeypatch)
    trainer.iterate()
    (image, masks, _), (translated, back, _) = calls
    heat_maps = trainer.game.heat_maps
    assert torch.equal(masks[0], heat_maps(image)[0])  # type: ignore[operator]
    expected = heat_maps(image if choice == "source" else translated.detach())  # type: ignore[operator]
    assert torch.equal(back[0], expected[0]) and not torch.equal(masks[0], heat_maps(translated.detach())[0])  # type: ignore[operator]


def test_second_references_are_permuted_with_their_domains() -> None:
    trainer = make_trainer(make_config("passes=latent,reference", "detach_cycle_style=false"), injected={
        "second": torch.tensor([2, 0, 3, 1])
    })  # fmt: skip
    assert trainer.game.needs["reference"].fields == ("layout", "attributes")
    trainer.fetch_batch()
    assert trainer.batch is not None
    reference = trainer.batch["reference"]
    assert torch.equal(trainer.targets["reference2"], reference["layout"][[2, 0, 3, 1]])
    assert torch.equal(trainer.targets["domain2"], make_pairs(reference["attributes"])[[2, 0, 3, 1]])
    trainer.iterate()
    with pytest.raises(ConfigError, match=r"passes: .*second_reference=permuted"):
        compose(make_config("passes=latent,reference", "second_reference=pair"), FACTS, REGISTRY)


def test_layouts_are_a_setting_of_stargan_v2() -> None:
    """The discriminator's stem takes a channel for each part."""
    sets = ["picture=layout", "data.attributes=Eyeglasses"]
    config = make_config(*sets, method="stargan-v2")
    facts = FACTS.model_copy(update={"attributes": ("Eyeglasses",), "domains": ("without", "with")})
    rehearse(config, facts, REGISTRY)
    composition = compose(config, facts, REGISTRY)
    assert composition.networks["discriminator"].trunk.stem.in_channels == 19  # type: ignore[union-attr]
    needs = composition.game.needs
    assert needs["source"].fields == ("layout", "domain")
    assert needs["reference"].fields == ("layout", "layout2", "domain")


def test_landmarks_of_layouts_read_the_image(tmp_path: Path) -> None:
    (tmp_path / "wing.ckpt").write_bytes(b"")
    landmarks = ["heat_maps.use=landmarks", f"heat_maps.file={tmp_path / 'wing.ckpt'}"]
    game = compose(make_config(*landmarks), FACTS, REGISTRY).game
    assert game.needs["source"].fields == ("layout", "attributes", "image")
    assert game.needs["reference"].fields == ("attributes",)
    assert compose(make_config(), FACTS, REGISTRY).game.needs["source"].fields == ("layout", "attributes")


def test_what_layouts_do_not_allow_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"augment\.use=diffaugment: it changes images.*set augment\.use=none"):
        compose(make_config("augment.use=diffaugment"), FACTS, REGISTRY)
    with pytest.raises(ConfigError, match="picture=layout: this game trains on maps of the parts of faces"):
        compose(make_config(), FACTS.model_copy(update={"parts": ()}), REGISTRY)


# ---- the extra term ----

SEMANTIC = "extra_terms.generator_latent.semantic.weight=1"


def make_quarters(n: int) -> Tensor:
    """Layouts of four squares, of background, skin, hair and cloth."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    quarter = (rows >= 16).long() * 2 + (columns >= 16).long()
    segmentation = torch.tensor([0, 1, 13, 18])[quarter]
    return make_layout(torch.stack([segmentation.roll(k, 1) for k in range(n)]), 19)


def train_with(*sets: str) -> float:
    """Train eight iterations to give bangs, and return how much changes where bangs repaint nothing."""
    facts = FACTS.model_copy(update={"attributes": ("Bangs",)})
    config = make_config(
        "data.attributes=Bangs", "weights.cycle=0", "weights.style=0", "weights.diversity=0", "heat_maps.use=none",
        "generator.high_pass=0", "generator.halvings=1", "generator.width=16", "generator.max_width=16",
        "optimizers.generator.lr=0.01", "penalty.weight=0.25", "restyle=all", *sets,
    )  # fmt: skip
    composition = compose(config, facts, REGISTRY)
    layout, without = make_quarters(4), torch.zeros(4, 1)
    batch = {"source": {"layout": layout, "attributes": without}, "reference": {"attributes": 1 - without}}
    trainer = Trainer(composition, REGISTRY, Accelerator(cpu=True), iter(lambda: batch, None))
    for _ in range(8):
        trainer.iterate()
    assert ("semantic" in trainer.terms["generator_latent"].names) == (SEMANTIC in sets)
    networks = trainer.networks
    with torch.no_grad():
        style = networks["mapping"](make_noise(99, 4, networks["mapping"].latent_dim), make_pairs(1 - without))  # type: ignore
        translated = networks["generator"](layout, style).softmax(1)
    values = {"image": layout, "own": make_pairs(without), "domain": make_pairs(1 - without), "translated": translated}
    turn = trainer.make_turn(trainer.game.steps[0], 0, Clock(0, 1), slice(None), frozenset())
    return float(SemanticTerm(SemanticTermConfig(), facts).compute_consistency(turn, values))


def test_semantic_term_is_off_by_default_and_keeps_layouts_when_on() -> None:
    """Eight iterations with the term change less where no attribute may repaint than eight without, same seed."""
    without, with_term = train_with(), train_with(SEMANTIC)
    assert with_term < 0.7 * without
