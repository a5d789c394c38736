"""Pivotal tuning: a copy of the generator is fine-tuned to show photos at the latents found for them.

Source: Roich et al. 2022, section 3.2, without its locality term.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from zoogan.auxiliary.image_distance import ImageDistance, Images
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import REPORT_EVERY, Inversion, InversionCallback
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces.synthesis import collect_noise


def tune_generator(
    editor: SynthesisEditor,
    image: Images,
    inversion: Inversion,
    distance: ImageDistance,
    config: InversionConfig | None = None,
    *,
    watch: InversionCallback = lambda iteration, terms: False,
) -> Inversion:
    """Tune a copy of the generator to photos; their latents and noise stay as they were found.

    Args:
        editor: The editor with the run's generator, which is not changed.
        image: The photos (n, c, h, w) in [-1, 1].
        inversion: The result of `invert_photos` for them.
        distance: Distance of a face from its photo.
        config: Settings; None = the editor's own.
        watch: As in `invert_photos`; the iterations of the inversion are counted too.

    Returns:
        The inversion with the faces of the tuned generator, which is its `generator`; `pivot_loss` is the loss before.
    """
    config = config or editor.inversion
    latents, noise = inversion.extras["latents"], collect_noise(inversion.extras)
    network = copy.deepcopy(editor.generator)
    weights = [weight.requires_grad_() for weight in network.parameters()]
    optimizer = torch.optim.Adam(weights, lr=config.tune_lr)
    for done in range(1, config.tune_iterations + 1):
        with torch.enable_grad():
            output = network(latents, noise).image
            losses = distance.distance(output, image)
            loss = (losses + config.tune_pixel_weight * (output - image).square().mean((1, 2, 3))).mean()
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients):
            weight.grad = gradient
        optimizer.step()
        report = {"loss": losses.mean().item()} if done % REPORT_EVERY == 0 else {}
        if watch(inversion.iterations + done, report):
            break
    face = editor.with_generator(network.requires_grad_(False)).synthesise(latents, noise)
    return replace(
        inversion,
        image_or_none=face.image,
        segmentation=face.segmentation,
        generator=face.generator,
        loss=distance.distance(face.image, image),
        pivot_loss=inversion.loss,
    )
