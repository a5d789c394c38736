"""Pivotal tuning: a photo's latent is found, then a copy of the generator learns to show the photo there.

Roich et al. 2022, section 3.2, without its locality term.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from zoogan.auxiliary.likeness import Images, Likeness
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import READ_EVERY, Inversion, Watch
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces.synthesis import noise_among


def tuned(
    editor: SynthesisEditor,
    image: Images,
    found: Inversion,
    likeness: Likeness,
    config: InversionConfig | None = None,
    *,
    watch: Watch = lambda iteration, terms: False,
) -> Inversion:
    """What `invert` found for photos (n, c, h, w) in [-1, 1], made by a generator tuned to all of them.

    Latents and noise stay as they were found; the editor's own generator is not touched. `generator` of what is
    returned is the tuned one, `pivot_loss` the loss before.

    Args:
        config: by default the editor's own.
        watch: told every iteration how many are done, those of the inversion included, and, now and then, the mean
            loss; True = stop here.
    """
    config = config or editor.inversion
    latents, noise = found.extras["latents"], noise_among(found.extras)
    network = copy.deepcopy(editor.generator)
    weights = [weight.requires_grad_() for weight in network.parameters()]
    solver = torch.optim.Adam(weights, lr=config.tune_lr)
    for done in range(1, config.tune_iterations + 1):
        with torch.enable_grad():
            made = network(latents, noise).image
            distance = likeness.distance(made, image)
            loss = (distance + config.tune_pixel_weight * (made - image).square().mean((1, 2, 3))).mean()
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients):
            weight.grad = gradient
        solver.step()
        told = {"loss": distance.mean().item()} if done % READ_EVERY == 0 else {}
        if watch(found.iterations + done, told):
            break
    made_again = editor.with_generator(network.requires_grad_(False)).synthesise(latents, noise)
    return replace(
        found,
        image=made_again.image,
        segmentation=made_again.segmentation,
        generator=made_again.generator,
        loss=likeness.distance(made_again.image, image),
        pivot_loss=found.loss,
    )
