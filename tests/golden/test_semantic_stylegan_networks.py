"""SemanticStyleGAN's networks compute what the official ones do on the same weights, through the importer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import fill
import torch
from official import Case, placed
from parts_cases import ATOL_LOGITS, check_output, faces_of, imported, latent
from synthesis_cases import Known, networks_of
from torch import Tensor

from zoogan.conditions.latent import LatentCondition
from zoogan.config.registry import Registry
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.games.synthesis import make_one_hot_maps
from zoogan.interfaces import Draws, World
from zoogan.layers.residual_discriminator import compute_minibatch_std
from zoogan_semantic_stylegan.networks import SemanticStyleGANDiscriminator, SemanticStyleGANGenerator

Check = Callable[[str, Tensor], None]


@torch.no_grad()
def test_generator(parts_generator_case: Case, registry: Registry) -> None:
    """Every output that the case names: latents, places, parts, their composition, faces; then what can be asked."""
    case, says = parts_generator_case, parts_generator_case.says
    wanted, config = set(says["outputs"]), says["config"]
    result = imported(case)
    networks = networks_of(result, registry)
    result.networks.clear()
    assert sum(p.numel() for network in networks.values() for p in network.parameters()) == says["param_count"]
    generator, n, style = networks["generator"], says["batch"], config["style_dim"]
    assert isinstance(generator, SemanticStyleGANGenerator)
    assert (generator.rows, generator.layers) == (says["n_latent"], says["n_latent_expand"])

    def check(name: str, value: Tensor) -> None:
        check_output(name, value, case)
        wanted.remove(name)

    w = networks["mapping"](latent("z", n, style))
    check("w", w)
    whole = generator.repeat_latent(w)
    check("latent_expanded", generator.expand_rows(whole))
    side = config["coarse_size"]
    position = generator.positions(generator.place)
    check("pos_embed", position.view(1, -1, side, side).expand(n, -1, -1, -1))
    parts = generator.compute_part_features(whole)
    for k in [k for k in range(config["seg_dim"]) if f"feat_{k}" in wanted]:
        check(f"depth_{k}", parts.depth[:, k : k + 1])
        check(f"feat_{k}", generator.composition.compute_each_part(parts.hidden)[:, k])
    check("composite_feat", generator.composition(parts.hidden, generator.composition.compute_masks(parts.depth)))
    del parts
    made = generator(whole)
    check("rgb", made.image)
    check("seg", made.segmentation)
    check("seg_coarse", made.coarse)
    for name, scores in (("label_map_counts", made.segmentation), ("label_map_coarse_counts", made.coarse)):
        counts = torch.bincount(scores.argmax(1).cpu().flatten(), minlength=config["seg_dim"])
        off = int((counts - torch.tensor(says["outputs"][name])).abs().sum())
        assert off <= 2 + scores[:, 0].numel() // 5000, f"{name}: {off} pixels more or less"  # rounding on borders
        wanted.remove(name)
    if wanted:
        others(generator, w, networks["mapping"](latent("z2", n, style)), says["mix_pattern"], check)
    assert not wanted


def others(
    generator: SemanticStyleGANGenerator, w: Tensor, w2: Tensor, pattern: Mapping[str, Any], check: Check
) -> None:
    """Truncated, in part, of other latents, of two, with other places and noise."""
    n, style, whole = len(w), w.shape[1], generator.repeat_latent(w)
    mean = 0.5 * fill.named_tensor("truncation_latent", (style,))
    editor = SynthesisEditor({"generator": generator, "mapping": Known(w)}, LatentCondition(), mean)
    check("rgb_trunc0.7", generator(editor.draw_latents(range(n), truncation=0.7)).image)
    kept = w.new_zeros(n, len(generator.parts))
    kept[:, :2] = 1
    made = generator.generate_parts(whole, visible=kept)
    check("rgb_parts01", made.image)
    check("seg_coarse_parts01", made.coarse)
    rows = latent("w_plus", n, generator.rows, style)
    check("rgb_wplus", generator(rows).image)
    check("latent_expanded_wplus", generator.expand_rows(rows))
    check("rgb_wexpanded", generator(latent("w_expanded", n, generator.layers, style)).image)
    kind = torch.tensor(pattern["inject_index[part][sample]"]).t()
    draw = Draws(0, World.make_single(), n, slice(None), {"parts": (kind + 0.5) / 3})
    mixed = generator.mix_latents(whole, generator.repeat_latent(w2), draw)
    check("rgb_mix", generator(mixed).image)
    check("latent_expanded_mix", generator.expand_rows(mixed))
    scale = torch.arange(len(generator.parts), device=w.device)[:, None, None, None]
    places = (generator.place * (1 + 0.05 * scale) + 0.03 * scale).expand(n, -1, -1, -1, -1)
    check("rgb_coords", generator.generate_parts(whole, places=places).image)
    noise = [placed(fill.named_tensor(f"noise_{k}", (1, 1, *size))) for k, size in enumerate(generator.noise_sizes)]
    check("rgb_noise_list", generator(whole, noise).image)


@torch.no_grad()
def test_discriminator(parts_discriminator_case: Case, registry: Registry) -> None:
    """Scores of pairs and of images alone, both branches, and how the batch varies."""
    case, says = parts_discriminator_case, parts_discriminator_case.says
    result = imported(case)
    discriminator = networks_of(result, registry)["discriminator"]
    result.networks.clear()
    assert isinstance(discriminator, SemanticStyleGANDiscriminator) and discriminator.segmentation_trunk is not None
    assert sum(p.numel() for p in discriminator.parameters()) == says["param_count"]
    image, label = faces_of(says["config"], says["batch"])
    layout = make_one_hot_maps(label, says["config"]["seg_dim"], like=image)
    logits, (seen, laid) = compute_logits(discriminator, image, layout)
    outputs = {"feat_img": seen, "feat_seg": laid, "stddev_channel": compute_minibatch_std(seen + laid)}
    assert set(logits) | set(outputs) == set(says["outputs"])
    for name, value in outputs.items():
        check_output(name, value, case)
    # Mean and deviation of two logits are no steadier than one logit, so they are checked in float64, which rounds
    # alike on every CPU and leaves the official code's own rounding as the only difference. Each float32 logit is
    # checked by itself.
    discriminator, image, layout = discriminator.cpu().double(), image.cpu().double(), layout.cpu().double()
    exact, _ = compute_logits(discriminator, image, layout)
    for name, value in exact.items():
        check_output(name, value, case, ATOL_LOGITS)
        official = torch.from_numpy(case.arrays[name]).flatten()
        assert (logits[name].cpu().flatten() - official).abs().max() <= ATOL_LOGITS, name


def compute_logits(
    discriminator: SemanticStyleGANDiscriminator, image: Tensor, layout: Tensor
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The logits of the pairs and of the images alone, and the features of both branches.

    The branch of the images, most of the work, computes once; the images alone get its features from before.
    """
    branches: list[Tensor] = []
    trunks = (discriminator.trunk, discriminator.segmentation_trunk)
    hooks = [trunk.register_forward_hook(lambda module, given, out: branches.append(out)) for trunk in trunks]  # type: ignore[union-attr]
    pairs = discriminator(image, layout)
    for hook in hooks:
        hook.remove()
    shown: list[Tensor] = []

    def recall(given: Tensor) -> Tensor:
        shown.append(given)
        return branches[0]

    with patch.object(discriminator.trunk, "forward", recall):
        alone = discriminator(image)
    assert len(shown) == 1 and torch.equal(shown[0], image), "images alone pass through the branch of the images, once"
    return {"logit": pairs, "logit_img_only": alone}, branches
