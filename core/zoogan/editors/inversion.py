"""Inversion: finds the latent of a photo by optimisation.

Source: StyleGAN2 (Karras et al. 2020), section 5 and appendix D, where it is called projection; one latent for each row
(w+) as Abdal et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.auxiliary.image_distance import ImageDistance, Images
from zoogan.editors.config import InversionConfig
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces import Edit, LatentMapping
from zoogan.interfaces.draws import derive_seed, move_like
from zoogan.interfaces.synthesis import Latents, name_noise

MIN_NOISE_SIDE = 8  # pixels: the coarsest scale on which the noise maps are kept uncorrelated
MAPPING_BATCH = 1000
REPORT_EVERY = 10  # iterations

NoiseMaps = list[Float[Tensor, "_ 1 _ _"]]
InversionCallback = Callable[[int, dict[str, float]], bool]


@dataclass(frozen=True, repr=False)
class Inversion(Edit):
    """The result of an inversion; editors edit it like any face with latents.

    `image` shows the faces; `extras` has the `latents` (n, rows, style_dim), and the noise maps if they were found too.

    Attributes:
        loss: The distance of each face from its photo (n,), by `likeness`.
        mean_loss: The same of the mean face, where the search began (n,).
        pivot_loss: The same before the generator was tuned (n,); None = it was not tuned.
        iterations: How many were done, fewer than requested where the search was stopped.
        likeness: The name of the distance.
    """

    loss: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0))
    mean_loss: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0))
    pivot_loss: Float[Tensor, " n"] | None = None
    iterations: int = 0
    likeness: str = ""

    def select(self, index: int) -> Inversion:
        """Return the result for one of the photos."""
        row = slice(index, index + 1)
        return replace(
            self,
            image_or_none=self.image[row],
            segmentation=None if self.segmentation is None else self.segmentation[row],
            extras={name: value[row] for name, value in self.extras.items()},
            loss=self.loss[row],
            mean_loss=self.mean_loss[row],
            pivot_loss=None if self.pivot_loss is None else self.pivot_loss[row],
        )


def get_learning_rate(config: InversionConfig, iteration: int) -> float:
    """Return the learning rate of an iteration, from 0: it rises linearly, stays, and falls in a half cosine."""
    time = iteration / config.iterations
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - time) / config.ramp_down))
    return config.lr * down * min(1.0, time / config.ramp_up)


def get_jitter(config: InversionConfig, iteration: int) -> float:
    """Return the strength of the noise on the latent in an iteration, in units of the latents' spread."""
    return config.jitter * max(0.0, 1 - iteration / config.iterations / config.jitter_until) ** 2


@torch.no_grad()
def measure_spread(mapping: LatentMapping, n: int, seed: int = 0) -> tuple[Float[Tensor, " s"], Tensor]:
    """Return the mean of n drawn latents, and their root mean squared distance from it (0-d, in units of w)."""
    weight = next(mapping.parameters())
    noise = torch.randn(n, mapping.latent_dim, generator=torch.Generator().manual_seed(derive_seed("spread", seed)))
    latents = torch.cat([mapping(batch.to(weight)) for batch in noise.split(MAPPING_BATCH)])
    mean = latents.mean(0)
    return mean, (latents - mean).square().sum(1).mean().sqrt()


def measure_autocorrelation(noise: NoiseMaps) -> Float[Tensor, " n"]:
    """Measure how far maps are from white noise.

    Returns the squared correlation of each map with itself shifted by one pixel, in both directions and on every scale
    down to 8 x 8, summed. For N(0, 1) the correlations are 0 in the mean.

    Source: StyleGAN2, appendix D.
    """
    total = noise[0].new_zeros(len(noise[0]))
    for level in noise:
        while True:
            for dim in (2, 3):
                total = total + (level * level.roll(1, dim)).mean((1, 2, 3)).square()
            if min(level.shape[-2:]) <= MIN_NOISE_SIDE:
                break
            level = 2 * F.avg_pool2d(level, 2)  # so that its variance stays 1
    return total


@torch.no_grad()
def normalise_noise(noise: NoiseMaps) -> None:
    """Scale every map to mean 0 and variance 1, in place."""
    for level in noise:
        level -= level.mean((1, 2, 3), keepdim=True)
        level *= torch.rsqrt(level.square().mean((1, 2, 3), keepdim=True) + 1e-8)


def invert_photos(
    editor: SynthesisEditor,
    image: Images,
    distance: ImageDistance,
    config: InversionConfig | None = None,
    *,
    seed: int = 0,
    watch: InversionCallback = lambda iteration, terms: False,
) -> Inversion:
    """Find the latents of photos.

    The result for a photo depends on it and on the seed, not on the photos beside it.

    Args:
        editor: The editor with the generator.
        image: The photos (n, c, h, w) in [-1, 1], on the editor's device.
        distance: Distance of a face from its photo.
        config: Settings; None = the editor's own.
        seed: Seed of the noise maps, the jitter and the latents drawn for the mean.
        watch: Called after every iteration with the number of iterations done and, in every tenth, the mean loss as
            `loss`; returning True stops the search.
    """
    config = config or editor.inversion
    mean, spread = measure_spread(editor.mapping, config.mean_of, seed)
    start = editor.generator.repeat_latent(mean[None]).expand(len(image), -1, -1)
    noise = draw_noise_maps(editor, len(image), seed) if config.noise == "optimised" else None
    latents = (start if config.space == "w+" else start[:, :1]).clone().requires_grad_()
    jitter_source = torch.Generator().manual_seed(derive_seed("jitter", seed))
    optimizer = torch.optim.Adam([latents, *(level.requires_grad_() for level in noise or ())], lr=config.lr)
    parameters = optimizer.param_groups[0]["params"]
    done = 0
    for done in range(1, config.iterations + 1):
        optimizer.param_groups[0]["lr"] = get_learning_rate(config, done - 1)
        jitter = move_like(torch.randn(latents.shape[1:], generator=jitter_source), latents)
        jitter = jitter * spread * get_jitter(config, done - 1)
        with torch.enable_grad():
            terms = compute_terms(editor, image, (latents + jitter).expand_as(start), noise, start, distance, config)
            loss = torch.stack([term.sum() for term in terms.values()]).sum()  # photos do not affect each other
            gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient
        optimizer.step()
        if not config.noise_norm_weight:
            normalise_noise(noise or [])
        report = {"loss": terms["likeness"].mean().item()} if done % REPORT_EVERY == 0 else {}
        if watch(done, report):
            break
    all_rows = latents.detach().expand_as(start).contiguous()
    maps = None if noise is None else [level.detach() for level in noise]
    return make_inversion(editor, image, all_rows, maps, start, distance, done)


def draw_noise_maps(editor: SynthesisEditor, n: int, seed: int) -> NoiseMaps | None:
    """Draw the initial noise maps, the same for every photo; None for a generator without."""
    return [level.repeat(n, 1, 1, 1) for level in editor.draw_noise([derive_seed("inversion", seed)])] or None


def compute_terms(
    editor: SynthesisEditor,
    image: Images,
    latents: Latents,
    noise: NoiseMaps | None,
    start: Latents,
    distance: ImageDistance,
    config: InversionConfig,
) -> dict[str, Float[Tensor, " n"]]:
    """Compute the weighted terms to minimise, a value for each photo; terms without a weight are left out."""
    output = editor.generator(latents, noise).image
    terms = {"likeness": distance.distance(output, image)}
    if config.pixel_weight:
        terms["pixel"] = config.pixel_weight * (output - image).square().mean((1, 2, 3))
    if config.mean_weight:
        terms["mean"] = config.mean_weight * (latents - start).square().mean((1, 2))
    if noise is not None and config.noise_weight:
        terms["noise"] = config.noise_weight * measure_autocorrelation(noise)
    if noise is not None and config.noise_norm_weight:
        squares = torch.stack([level.square().mean((1, 2, 3)) for level in noise])
        terms["noise_norm"] = config.noise_norm_weight * squares.mean(0)
    return terms


@torch.no_grad()
def make_inversion(
    editor: SynthesisEditor,
    image: Images,
    latents: Latents,
    noise: NoiseMaps | None,
    start: Latents,
    distance: ImageDistance,
    iterations: int,
) -> Inversion:
    """Generate the faces of the final latents, and measure their distance and the mean face's from the photos."""
    face, mean_face = editor.synthesise(latents, noise), editor.synthesise(start)
    return Inversion(
        face.image,
        segmentation=face.segmentation,
        extras={"latents": latents} | name_noise(noise),
        loss=distance.distance(face.image, image),
        mean_loss=distance.distance(mean_face.image, image),
        iterations=iterations,
        likeness=distance.name,
    )
