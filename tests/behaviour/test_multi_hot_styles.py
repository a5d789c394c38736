"""Style translation of faces that show several domains at once, such as SMILE's pairs: what a plugin brings, and that
the game and its loader need nothing else."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from support.style_games import LATENT, REGISTRY, SIZE, TinyConfig, compute_terms, make_tiny_config, make_tiny_registry
from zoogan.composition.build import compose
from zoogan.composition.rehearsal import rehearse
from zoogan.conditions.pairs import make_pairs
from zoogan.config import GameConfig, merge, validate
from zoogan.config.registry import Registry
from zoogan.data.drawn.source import DrawnSource
from zoogan.data.loader import make_loader, move_batch
from zoogan.data.stream import FaceStream
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import StyleDiscriminator, StyleEncoder, StyleMapping, World
from zoogan.layers.multi_head import select_heads
from zoogan.testing.tensors import make_noise
from zoogan.training.trainer import Trainer

ATTRIBUTES = ("Eyeglasses", "Smiling", "Male")
PAIRS = len(ATTRIBUTES)


class PairsMapping(StyleMapping):
    latent_dim = LATENT

    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim, self.pairs = config.style_dim, len(facts.attributes)
        self.heads = nn.ModuleList(nn.Linear(LATENT, config.style_dim) for _ in range(2 * self.pairs))

    def forward(self, latent: Tensor, domain: Tensor) -> Tensor:
        return select_heads(torch.stack([head(latent) for head in self.heads], 1), domain, self.pairs)


class PairsEncoder(StyleEncoder):
    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim, self.pairs = config.style_dim, len(facts.attributes)
        self.heads = nn.ModuleList(nn.Linear(facts.channels, config.style_dim) for _ in range(2 * self.pairs))

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        colour = image.square().mean((2, 3))
        return select_heads(torch.stack([head(colour) for head in self.heads], 1), domain, self.pairs)


class PairsDiscriminator(StyleDiscriminator):
    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.pairs = len(facts.attributes)
        self.body = nn.Conv2d(facts.channels, 2 * self.pairs, 3, padding=1)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        return select_heads(self.body(image).tanh().mean((2, 3)), domain, self.pairs)


class OneDiscriminator(PairsDiscriminator):
    """Made for faces of one domain."""

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        return select_heads(self.body(image).mean((2, 3)), domain)


class PairsNetworkConfig(TinyConfig):
    """As the tiny networks."""

    use: Literal["pairs"] = "pairs"  # type: ignore[assignment]


class OneConfig(TinyConfig):
    """As the tiny networks."""

    use: Literal["one"] = "one"  # type: ignore[assignment]


def pairs_registry() -> Registry:
    """The tiny method of the style tests, and what another plugin adds."""
    registry = make_tiny_registry()
    registry.plugin = __name__
    for role, name in (
        ("style_mapping", "PairsMapping"), ("style_encoder", "PairsEncoder"),
        ("style_discriminator", "PairsDiscriminator"),
    ):  # fmt: skip
        registry.component(role, "pairs", config=PairsNetworkConfig, build=f"{__name__}:{name}")
    registry.component("style_discriminator", "one", config=OneConfig, build=f"{__name__}:OneDiscriminator")
    return registry


PLUGGED = pairs_registry()


def composed(**sets: Any) -> GameConfig:
    given = {slot: {"use": "pairs"} for slot in ("condition", "mapping", "style_encoder", "discriminator")}
    data = {"attributes": list(ATTRIBUTES), "batch": 4, "flip": True}
    choices = {"data": data, "passes": ["latent"], "detach_cycle_style": True, "weights": {"discriminator": 0.5}}
    return validate(PLUGGED.methods["tiny-style"], PLUGGED, merge(given | choices, sets))


FACTS = Facts(image_size=SIZE, attributes=ATTRIBUTES)


def test_multi_hot_faces_train_end_to_end() -> None:
    """An iteration on drawn faces with three pairs of domains each: every term as SMILE's paper has it."""
    config = composed()
    rehearse(config, FACTS, PLUGGED)
    composition = compose(config, FACTS, PLUGGED)
    needs = composition.game.needs
    assert needs["source"].fields == ("image", "attributes") and needs["reference"].fields == ("attributes",)
    source = DrawnSource(config.data)  # type: ignore[arg-type]
    assert source.attributes == ATTRIBUTES and not source.domains
    raw = make_loader(source, config.data, needs, 0, World.make_single(), 0, 4)
    trainer = Trainer(composition, PLUGGED, Accelerator(cpu=True), (move_batch(batch, "cpu") for batch in raw))
    discriminator, maker = (compute_terms(trainer, f"{side}_latent") for side in ("discriminator", "generator"))
    assert trainer.batch is not None
    x = trainer.batch["source"]["image"]
    own, to = (make_pairs(trainer.batch[draw]["attributes"]) for draw in ("source", "reference"))
    assert (own.sum(1) == PAIRS).all() and torch.equal(trainer.targets["domain"], to)
    g, f, e, d = (trainer.networks[name] for name in ("generator", "mapping", "style_encoder", "discriminator"))
    style = f(trainer.targets["latent"], to)
    assert style.shape[:2] == (4, PAIRS), "one style for each domain that is asked for"
    fake = g(x, style)
    every = d.body(x).tanh().mean((2, 3))  # type: ignore[operator, union-attr]
    on_real = every[own.bool()].view(4, PAIRS)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(d(leaf, own).sum(), leaf)
    wanted = {
        "real": F.softplus(-on_real).mean(), "fake": F.softplus(d(fake, to)).mean(),
        "penalty": slope.square().flatten(1).sum(1).mean() / 2,
    }  # fmt: skip
    wanted_of_maker = {
        "adversarial": F.softplus(-d(fake, to)).mean(), "style": (e(fake, to) - style).abs().mean(),
        "diversity": (fake - g(x, f(trainer.targets["latent2"], to))).abs().mean(),
        "cycle": (g(fake, e(x, own)) - x).abs().mean(),
    }  # fmt: skip
    for found, by_hand in ((discriminator, wanted), (maker, wanted_of_maker)):
        assert set(found) == set(by_hand)
        for name, value in by_hand.items():
            torch.testing.assert_close(found[name], value, msg=name)
    before = {name: [p.clone() for p in network.parameters()] for name, network in trainer.networks.items()}
    trainer.iterate()
    assert all(
        any(not torch.equal(a, b) for a, b in zip(before[name], network.parameters()))
        for name, network in trainer.networks.items()
    )
    raw.close()


def test_second_references_need_domain_sampler() -> None:
    with pytest.raises(ConfigError, match=r"condition 'pairs' draws no faces by domain: set passes=latent"):
        compose(composed(passes=["latent", "reference"]), FACTS, PLUGGED)


def test_conditions_without_domains_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"condition 'attributes' has no domains.*condition.use=domain"):
        compose(
            make_tiny_config(condition={"use": "attributes"}),
            FACTS.model_copy(update={"domains": ("a", "b")}),
            REGISTRY,
        )


def test_style_editor_refuses_multi_hot_labels() -> None:
    composition = compose(composed(), FACTS, PLUGGED)
    with pytest.raises(ConfigError, match="subclass of this game that overrides `make_editor`"):
        composition.game.make_editor(composition.networks, attributes=ATTRIBUTES)


def test_single_domain_networks_refuse_multi_hot() -> None:
    """They dropped all but the first."""
    with pytest.raises(ConfigError, match=r"discriminator 'one'.*selects 1 heads a row, but"):
        rehearse(composed(discriminator={"use": "one"}), FACTS, PLUGGED)


def test_uneven_multi_hot_rows_are_refused() -> None:
    outputs, two = make_noise(0, 2, 4), torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]])
    assert torch.equal(select_heads(outputs, two, 2), outputs[two.bool()].view(2, 2))
    for heads in (1, 3):
        with pytest.raises(RuntimeError, match=f"selects {heads} heads a row, but"):
            select_heads(outputs, two, heads)


def test_unused_reference_images_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The references of a game without reference styles, by domain."""
    game = compose(
        make_tiny_config(passes=["latent"]),
        Facts(image_size=SIZE, attributes=("Eyeglasses",), domains=("a", "b")),
        REGISTRY,
    ).game
    config = make_tiny_config(data={"attributes": ["Eyeglasses"]}).data
    source = DrawnSource(config)  # type: ignore[arg-type]
    monkeypatch.setattr(DrawnSource, "read", lambda *_: pytest.fail("a face was drawn"))
    stream = FaceStream(source, "reference", game.needs["reference"], seed=0, flip=True)
    assert set(stream.__getitems__([0, 1, 2])) == {"domain"}
