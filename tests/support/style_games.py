"""A style-translation method small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn

import zoogan.builtin
from zoogan.composition.build import compose
from zoogan.config import ComponentConfig, DataConfig, Slot, TrainingConfig, merge, use_component, validate
from zoogan.config.registry import MethodSpec, Registry
from zoogan.data.config import DrawnData
from zoogan.facts import Facts
from zoogan.games.config import StyleOptimizers, StyleTranslationConfig
from zoogan.interfaces import Clock, StyleDiscriminator, StyleEncoder, StyleMapping, StyleTranslator
from zoogan.losses.config import R1Config
from zoogan.testing.tensors import make_faces, make_noise
from zoogan.training.config import AdamConfig
from zoogan.training.trainer import Batch, Trainer

SIZE, STYLE, LATENT = 16, 3, 5


class TinyConfig(ComponentConfig):
    """Settings of a tiny network: the size of a style."""

    use: Literal["tiny"] = "tiny"
    style_dim: int = STYLE


def select_heads(outputs: Tensor, domain: Tensor) -> Tensor:
    """Select the outputs of the domains.

    Args:
        outputs: Outputs of all heads, (n, k, ...).
        domain: Indices (n,), which give (n, ...); or rows of 0 and 1, (n, k), which give the selected heads in order.
    """
    if domain.dim() == 1:
        return outputs[torch.arange(len(outputs), device=outputs.device), domain]
    heads = int(domain[0].sum()) if not domain.is_meta else 1
    order = domain.argsort(dim=1, descending=True, stable=True)[:, :heads].sort(1).values
    return outputs.gather(1, order.view(*order.shape, *[1] * (outputs.dim() - 2)).expand(-1, -1, *outputs.shape[2:]))


class TinyTranslator(StyleTranslator):
    """A convolution of the image, multiplied by the colour of the style."""

    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim = config.style_dim
        self.body = nn.Conv2d(facts.channels, facts.channels, 3, padding=1)
        self.colour = nn.Linear(config.style_dim, facts.channels)

    def encode(self, image: Tensor) -> Tensor:
        return self.body(image)

    def decode(self, encoded: Tensor, style: Tensor, masks: Any = None) -> Tensor:
        if style.dim() == 3:
            style = style.mean(1)
        return encoded * (1 + self.colour(style)[:, :, None, None]).tanh()


class TinyMapping(StyleMapping):
    """One linear layer for each domain."""

    latent_dim = LATENT

    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim = config.style_dim
        self.heads = nn.ModuleList(nn.Linear(LATENT, config.style_dim) for _ in facts.domains)

    def forward(self, latent: Tensor, domain: Tensor) -> Tensor:
        return select_heads(torch.stack([head(latent) for head in self.heads], 1), domain)


class TinyEncoder(StyleEncoder):
    """Mean squared colours, then one linear layer for each domain."""

    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.style_dim = config.style_dim
        self.heads = nn.ModuleList(nn.Linear(facts.channels, config.style_dim) for _ in facts.domains)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        colour = image.square().mean((2, 3))
        return select_heads(torch.stack([head(colour) for head in self.heads], 1), domain)


class TinyDiscriminator(StyleDiscriminator):
    """A convolution with one channel for each domain, then tanh and the mean over pixels."""

    def __init__(self, config: TinyConfig, facts: Facts) -> None:
        super().__init__()
        self.body = nn.Conv2d(facts.channels, len(facts.domains), 3, padding=1)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        return select_heads(self.body(image).tanh().mean((2, 3)), domain)


ADAM = AdamConfig(lr=1e-2)


class TinyStyleConfig(StyleTranslationConfig):
    """Settings of the style-translation game with four tiny networks."""

    method: Literal["tiny-style"] = "tiny-style"
    data: Annotated[DataConfig, Slot("source")] = DrawnData(image_size=SIZE, batch=4, faces=40, held_out=20)
    condition: Annotated[ComponentConfig, Slot("condition")] = use_component("condition", "domain")
    generator: Annotated[ComponentConfig, Slot("style_translator")] = TinyConfig()
    mapping: Annotated[ComponentConfig, Slot("style_mapping")] = TinyConfig()
    style_encoder: Annotated[ComponentConfig, Slot("style_encoder")] = TinyConfig()
    discriminator: Annotated[ComponentConfig, Slot("style_discriminator")] = TinyConfig()
    heat_maps: Annotated[ComponentConfig, Slot("heat_maps")] = use_component("heat_maps", "none")
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component(
        "adversarial_loss", "non_saturating"
    )
    penalty: Annotated[ComponentConfig, Slot("discriminator_penalty")] = R1Config(weight=1.0, every=1)
    augment: Annotated[ComponentConfig, Slot("augment")] = use_component("augment", "none")
    optimizers: StyleOptimizers = StyleOptimizers(generator=ADAM, mapping=ADAM, style_encoder=ADAM, discriminator=ADAM)
    training: TrainingConfig = TrainingConfig(iterations=10)


def make_tiny_registry() -> Registry:
    """Make a registry of the core and the tiny method."""
    registry = Registry()
    registry.plugin = "zoogan.builtin"
    zoogan.builtin.zoo_register(registry=registry)
    registry.plugin = __name__
    for role, name in (
        ("style_translator", "TinyTranslator"), ("style_mapping", "TinyMapping"),
        ("style_encoder", "TinyEncoder"), ("style_discriminator", "TinyDiscriminator"),
    ):  # fmt: skip
        registry.component(role, "tiny", config=TinyConfig, build=f"{__name__}:{name}")
    registry.method(
        MethodSpec(
            name="tiny-style", config=TinyStyleConfig, game="zoogan.games.style_translation:StyleTranslation",
            recipes=Path(__file__).parent, title="Tiny style translation",
        )
    )  # fmt: skip
    return registry


REGISTRY = make_tiny_registry()


def make_tiny_config(**settings: Any) -> TinyStyleConfig:
    """Make a config of the tiny method; settings are groups such as `weights={"cycle": 2}`."""
    config = validate(REGISTRY.methods["tiny-style"], REGISTRY, merge({}, settings))
    assert isinstance(config, TinyStyleConfig)
    return config


def make_batch(seed: int, n: int = 4, domains: int = 2, picture: str = "image", channels: int = 3) -> Batch:
    """Make a batch of random pictures of all domains."""

    def make_pictures(k: int) -> Tensor:
        if picture == "image":
            return make_faces(seed + k, n, SIZE)
        classes = make_noise(seed + k, n, channels, SIZE, SIZE).argmax(1)
        return nn.functional.one_hot(classes, channels).permute(0, 3, 1, 2).float()

    index = torch.arange(n) % domains
    return {
        "source": {picture: make_pictures(0), "domain": index},
        "reference": {picture: make_pictures(1), f"{picture}2": make_pictures(2), "domain": index.flip(0)},
    }


def make_tiny_trainer(
    config: TinyStyleConfig, facts: Facts | None = None, batch: Batch | None = None, **options: Any
) -> Trainer:
    """Make a trainer on random batches, or on one batch that repeats."""
    facts = facts or Facts(image_size=SIZE, attributes=("Eyeglasses",), domains=("without", "with"))

    def iterate_batches() -> Iterator[Batch]:
        k = 0
        while True:
            yield batch or make_batch(10 * k, domains=len(facts.domains))
            k += 1

    composition = compose(config, facts, REGISTRY)
    return Trainer(composition, REGISTRY, Accelerator(cpu=True), iterate_batches(), **options)


def compute_terms(trainer: Trainer, step: str, iteration: int = 0) -> Mapping[str, Tensor]:
    """Compute the unweighted terms of a step on the next batch, without an update before it."""
    if trainer.batch is None:
        trainer.fetch_batch()
    game_step = next(s for s in trainer.game.steps if s.name == step)
    clock = Clock(iteration, trainer.training.iterations)
    with trainer.enable_gradients(game_step, graph=False):
        return game_step.terms(trainer.make_turn(game_step, 0, clock, slice(None), frozenset()))
