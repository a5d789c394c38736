"""Narrow official offset networks of SD-GAN, and their state_dicts in the official layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoogan.plugins import Facts
from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig
from zoogan_sd_gan.official import SdGanOfficialOffset
from zoogan_sd_gan.weights import name_fusion_tensor

SIDE = 32


def draw(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Draw normal numbers."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fill(network: nn.Module) -> None:
    """Give every parameter and running statistic a value that counts: some start at 0."""
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.add_(0.05 * draw(seed, *parameter.shape).reshape(parameter.shape))


def make_official(size: int = SIDE) -> SdGanOfficialOffset:
    """Make a narrow official network."""
    torch.manual_seed(0)
    network = SdGanOfficialOffset(SdGanOfficialOffsetConfig(style_dim=16), Facts(image_size=size))
    fill(network)
    return network.eval()


def make_official_state(network: SdGanOfficialOffset) -> dict[str, Tensor]:
    """The official state_dict of a network: the reverse of the importer, written apart from it."""
    ours, state = network.state_dict(), dict[str, Tensor]()
    for key, tensor in ours.items():
        name = name_fusion_tensor(key)
        kind = name.rpartition(".")[2]
        if name.startswith("regre.tree_connect"):
            state[name] = tensor.permute(2, 1, 0)[None, ..., None].contiguous()
        elif name.startswith("fusion.fc_mu."):
            gain = network.fusion.regions.weight_gain if kind == "weight" else 1
            for k, part in enumerate(tensor):
                state[f"fusion.fc_mu{k}.{kind}"] = part * gain
        elif name == "fusion.blending":
            state["fusion.blending_gamma"], state["fusion.blending_beta"] = tensor[:1], tensor[1:]
        elif name.startswith(("fusion.maps", "fusion.Spade.maps")):
            names = ("Spade.mlp_gamma", "Spade.mlp_beta") if "Spade" in name else ("conv_gamma", "conv_beta")
            state |= {f"fusion.{part}.{kind}": half for part, half in zip(names, tensor.chunk(2))}
        else:
            state[name] = tensor
    dim = network.style_dim
    state["fusion.noise_var"] = torch.zeros(dim)
    for k in range(3, 19):
        state |= {f"fusion.fc_mu{k}.weight": torch.zeros(dim, dim), f"fusion.fc_mu{k}.bias": torch.zeros(dim)}
    return state
