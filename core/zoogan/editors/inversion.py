"""Inversion: the latent whose face is that of a photo, found by optimisation.

StyleGAN2 (Karras et al. 2020), section 5 and appendix D, where it is called projection; one latent for each row (w+) as
Abdal et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.auxiliary.likeness import Images, Likeness
from zoogan.editors.config import InversionConfig
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces import Edit, LatentMapping
from zoogan.interfaces.draws import seed_of, sent
from zoogan.interfaces.synthesis import Latents, named_noise

SMALLEST_MAP = 8  # pixels: the last scale on which noise is held to be noise
MAPPED_AT_ONCE = 1000
READ_EVERY = 10  # iterations

Maps = list[Float[Tensor, "_ 1 _ _"]]
Watch = Callable[[int, dict[str, float]], bool]


@dataclass(frozen=True)
class Inversion(Edit):
    """What was found: `image`, and in `extras` the `latents` (n, rows, style_dim) and the maps of noise, if those were
    found too; an editor takes it as what to edit.

    loss: (n,), how unlike the photo it is, by `likeness`; mean_loss: (n,), the same of the mean face, where it began.
    pivot_loss: likewise, before the generator was tuned; None = it was not.
    iterations: how many were done, fewer than asked for where somebody stopped it.
    """

    loss: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0))
    mean_loss: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0))
    pivot_loss: Float[Tensor, " n"] | None = None
    iterations: int = 0
    likeness: str = ""

    def row(self, place: int) -> Inversion:
        """What was found for one of the photos."""
        one = slice(place, place + 1)
        return replace(
            self,
            image=self.image[one],
            segmentation=None if self.segmentation is None else self.segmentation[one],
            extras={name: value[one] for name, value in self.extras.items()},
            loss=self.loss[one],
            mean_loss=self.mean_loss[one],
            pivot_loss=None if self.pivot_loss is None else self.pivot_loss[one],
        )


def rate(config: InversionConfig, iteration: int) -> float:
    """The learning rate of an iteration, counted from 0: up in a line, level, down in a half cosine."""
    time = iteration / config.iterations
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - time) / config.ramp_down))
    return config.lr * down * min(1.0, time / config.ramp_up)


def jitter(config: InversionConfig, iteration: int) -> float:
    """How strongly the latent is shaken in an iteration, in units of its spread."""
    return config.jitter * max(0.0, 1 - iteration / config.iterations / config.jitter_until) ** 2


@torch.no_grad()
def spread(mapping: LatentMapping, n: int, seed: int = 0) -> tuple[Float[Tensor, " s"], Tensor]:
    """The mean of n drawn latents, and the root of their mean squared distance from it (0-d, in units of w)."""
    weight = next(mapping.parameters())
    noise = torch.randn(n, mapping.latent_dim, generator=torch.Generator().manual_seed(seed_of("spread", seed)))
    latents = torch.cat([mapping(part.to(weight)) for part in noise.split(MAPPED_AT_ONCE)])
    mean = latents.mean(0)
    return mean, (latents - mean).square().sum(1).mean().sqrt()


def correlation(noise: Maps) -> Float[Tensor, " n"]:
    """How far maps of noise are from noise: their squared correlation with themselves one pixel on, in both ways, on
    every scale down to 8 x 8 (StyleGAN2, appendix D). Zero in the mean for N(0, 1)."""
    total = noise[0].new_zeros(len(noise[0]))
    for level in noise:
        while True:
            for way in (2, 3):
                total = total + (level * level.roll(1, way)).mean((1, 2, 3)).square()
            if min(level.shape[-2:]) <= SMALLEST_MAP:
                break
            level = 2 * F.avg_pool2d(level, 2)  # so that its variance stays 1
    return total


@torch.no_grad()
def renormalise(noise: Maps) -> None:
    """Bring every map to mean 0 and variance 1, in place."""
    for level in noise:
        level -= level.mean((1, 2, 3), keepdim=True)
        level *= torch.rsqrt(level.square().mean((1, 2, 3), keepdim=True) + 1e-8)


def invert(
    editor: SynthesisEditor,
    image: Images,
    likeness: Likeness,
    config: InversionConfig | None = None,
    *,
    seed: int = 0,
    watch: Watch = lambda iteration, terms: False,
) -> Inversion:
    """Find the latents of photos (n, c, h, w) in [-1, 1], on the editor's device.

    What is found for a photo depends on it and on the seed, not on the photos beside it.

    Args:
        config: by default the editor's own.
        watch: told every iteration how many are done and, now and then, the mean loss; True = stop here.
    """
    config = config or editor.inversion
    mean, distance = spread(editor.mapping, config.mean_of, seed)
    start = editor.generator.extended(mean[None]).expand(len(image), -1, -1)
    noise = drawn_maps(editor, len(image), seed) if config.noise == "optimised" else None
    latents = (start if config.space == "w+" else start[:, :1]).clone().requires_grad_()
    shaken = torch.Generator().manual_seed(seed_of("jitter", seed))
    solver = torch.optim.Adam([latents, *(level.requires_grad_() for level in noise or ())], lr=config.lr)
    done = 0
    for done in range(1, config.iterations + 1):
        solver.param_groups[0]["lr"] = rate(config, done - 1)
        shake = sent(torch.randn(latents.shape[1:], generator=shaken), latents) * distance * jitter(config, done - 1)
        with torch.enable_grad():
            terms = terms_of(editor, image, (latents + shake).expand_as(start), noise, start, likeness, config)
            loss = torch.stack([part.sum() for part in terms.values()]).sum()  # photos do not touch each other
            gradients = torch.autograd.grad(loss, solver.param_groups[0]["params"])
        for part, gradient in zip(solver.param_groups[0]["params"], gradients):
            part.grad = gradient
        solver.step()
        if not config.noise_norm_weight:
            renormalise(noise or [])
        told = {"loss": terms["likeness"].mean().item()} if done % READ_EVERY == 0 else {}
        if watch(done, told):
            break
    whole = latents.detach().expand_as(start).contiguous()
    maps = None if noise is None else [level.detach() for level in noise]
    return judged(editor, image, whole, maps, start, likeness, done)


def drawn_maps(editor: SynthesisEditor, n: int, seed: int) -> Maps | None:
    """The same maps of noise for every photo, to begin with; None for a generator without."""
    return [level.repeat(n, 1, 1, 1) for level in editor.noise([seed_of("inversion", seed)])] or None


def terms_of(
    editor: SynthesisEditor,
    image: Images,
    latents: Latents,
    noise: Maps | None,
    start: Latents,
    likeness: Likeness,
    config: InversionConfig,
) -> dict[str, Float[Tensor, " n"]]:
    """What is minimised, a value for each photo; terms without a weight are left out."""
    made = editor.generator(latents, noise).image
    terms = {"likeness": likeness.distance(made, image)}
    if config.pixel_weight:
        terms["pixel"] = config.pixel_weight * (made - image).square().mean((1, 2, 3))
    if config.mean_weight:
        terms["mean"] = config.mean_weight * (latents - start).square().mean((1, 2))
    if noise is not None and config.noise_weight:
        terms["noise"] = config.noise_weight * correlation(noise)
    if noise is not None and config.noise_norm_weight:
        squares = torch.stack([level.square().mean((1, 2, 3)) for level in noise])
        terms["noise_norm"] = config.noise_norm_weight * squares.mean(0)
    return terms


@torch.no_grad()
def judged(
    editor: SynthesisEditor,
    image: Images,
    latents: Latents,
    noise: Maps | None,
    start: Latents,
    likeness: Likeness,
    iterations: int,
) -> Inversion:
    """What was found with its faces and how like the photos they are, and the mean face is."""
    found, mean = editor.synthesise(latents, noise), editor.synthesise(start)
    return Inversion(
        found.image,
        segmentation=found.segmentation,
        extras={"latents": latents} | named_noise(noise),
        loss=likeness.distance(found.image, image),
        mean_loss=likeness.distance(mean.image, image),
        iterations=iterations,
        likeness=likeness.name,
    )
