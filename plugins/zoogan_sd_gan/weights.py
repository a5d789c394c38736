"""Import official weights of SD-GAN: the fusion network, and the networks of Unsup3D that it reads geometry with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import (
    Imported,
    StateDict,
    as_state_dict,
    make_published_layer,
    read_shape,
    read_weights_file,
    rename_tensors,
    set_nested,
)
from zoogan.plugins import Facts
from zoogan_sd_gan.config import SdGanConfig
from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig
from zoogan_sd_gan.official import HALVINGS, SdGanOfficialOffset
from zoogan_sd_gan.unsup3d import Unsup3dNetworks

LAYOUT = "MontaEllis/SD-GAN"
UNSUP3D_LAYOUT = "elliottwu/unsup3d"
FUSION = "model"
"""The name of the fusion network in an official file."""
UNUSED = re.compile(r"fusion\.(noise_var|fc_mu(\d+)\.(weight|bias))")
UNSUP3D_NETWORKS = {"netD": "depth", "netA": "albedo", "netL": "light", "netV": "view"}
TRAINED_ON: dict[str, Any] = {"source": "folder"}
"""Images of faces, with and without masks and glasses."""
ATTRIBUTE = "Face_Mask"
"""What the official networks add, unless the user names another attribute."""

# Our tensors of a block -> the official names; the others have the same name.
BLOCK_PARTS = {
    "face": {"norm1": "bn0", "norm2": "bn1", "norm3": "bn2", "activation": "prelu", "squeeze.gate": "se.fc"},
    "composite": {"norm1": "bn1", "norm2": "bn2"},
}
BRANCHES = {"face": "arcfacenet", "composite": "masknet"}
STEM_PARTS = {"conv": "conv1", "norm": "bn1", "activation": "prelu"}
CODE_LAYERS = {"0.0": 1, "1.0": 4, "2.0": 7, "3.0": 10, "4": 14}
"""Our convolutions of the code encoder -> the official numbers."""
OTHERS = {
    "fusion.layout_hidden": "fusion.Spade.mlp_shared.0",
    "fusion.layout_maps": "fusion.Spade.maps",  # joined by `join_tensors`, as the next ones
    "fusion.code_maps": "fusion.maps",
    "fusion.regions": "fusion.fc_mu",
    "fusion.blend": "fusion.blending",
    "regressor.over_pixels": "regre.tree_connect_1.0",
    "regressor.over_channels": "regre.tree_connect_2.0",
    "regressor.norm": "regre.in3",
}


# ---- the fusion network ----


def identify_fusion_network(content: Mapping[str, Any]) -> str | None:
    """Return `fusion` for the content of a file with the official fusion network; None = other weights."""
    inner = content.get(FUSION)
    state = inner if isinstance(inner, Mapping) else content
    names = ("arcfacenet.conv1.weight", "regre.tree_connect_1.0.weight")
    return "fusion" if all(name in state or f"module.{name}" in state for name in names) else None


def import_sd_gan(files: Iterable[Path], settings: Mapping[str, Any]) -> Imported:
    """Import the official fusion network; backbone and geometry are stages with files of their own.

    The file does not tell which attribute it adds. Templates are laid on at a fixed place, as no classifier comes with
    the files.

    Args:
        files: The file.
        settings: `attributes` names the attribute that the network adds; by default Face_Mask.

    Raises:
        ConfigError: Two files, another layout, or weights that contradict each other.
    """
    paths = list(files)
    if len(paths) != 1:
        raise ConfigError(f"one file with the fusion network of {LAYOUT} is needed, got {len(paths)}")
    layer, image_size, state = convert_fusion(read_fusion(paths[0]))
    imported = Imported(make_published_layer(SdGanConfig(), TRAINED_ON), networks={"fusion": state})
    imported.config["fusion"] = layer
    imported.config["compositor"] |= {"placement": "fixed"}
    imported.config["weights"] |= {"attribute": 0.0, "identity": 0.0}
    set_nested(imported.config, "data.image_size", image_size)
    if not settings.get("attributes"):
        imported.notes.append(
            f"the file does not tell its attribute; {ATTRIBUTE} is assumed. "
            "Name another with --set data.attributes=NAME"
        )
    set_nested(imported.config, "data.attributes", list(settings.get("attributes") or [ATTRIBUTE]))
    imported.notes.append("the layers of the fusion network that nothing reads (noise_var, fc_mu3 to 18) are left out")
    return imported


def read_fusion(path: Path) -> StateDict:
    """Read an official file with the fusion network.

    Raises:
        ConfigError: It cannot be read without executing code, or holds something else.
    """
    content = read_weights_file(path)
    if not isinstance(content, Mapping) or identify_fusion_network(content) is None:
        raise ConfigError(f"{path}: no fusion network of {LAYOUT}")
    return as_state_dict(content.get(FUSION, content), path)


def convert_fusion(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], int, StateDict]:
    """Convert an official state_dict to our names and shapes.

    The matrices of the locally connected layers are stored by position; those of the codes, and the maps of scales and
    shifts, are joined.

    Args:
        state: The official state_dict, without the prefix of `nn.DataParallel`.

    Returns:
        The settings of `sd-gan-official`, the image size in pixels, and our state_dict.

    Raises:
        ConfigError: Names missing or left over, or an impossible number of pixels.
    """
    dim, _, pixels, _ = read_shape(state, "regre.tree_connect_1.0.weight", LAYOUT, 4)
    rows = read_shape(state, "regre.in3.weight", LAYOUT, 1)[0]
    channels = read_shape(state, "arcfacenet.conv1.weight", LAYOUT, 4)[1]
    side = round(pixels**0.5)
    if side * side != pixels or dim % 16:
        raise ConfigError(f"the weights are not in the layout of {LAYOUT}: {pixels} pixels of {dim} channels")
    config = SdGanOfficialOffsetConfig(style_dim=dim, rows=rows)
    facts = Facts(image_size=side << HALVINGS, channels=channels)
    with torch.device("meta"):
        ours = SdGanOfficialOffset(config, facts)
    joined = join_tensors(state, channels, ours.fusion.regions.weight_gain)
    names = {name_fusion_tensor(key): key for key in ours.state_dict()}
    return config.model_dump(mode="json"), facts.image_size, rename_tensors(joined, names, "fusion", LAYOUT)


def join_tensors(state: Mapping[str, Tensor], regions: int, gain: float) -> StateDict:
    """Join the official tensors that are one of ours, and leave out those that nothing reads.

    Args:
        state: The official state_dict.
        regions: Number of regions whose codes are read.
        gain: Factor of our weights of the codes in the forward.

    Raises:
        ConfigError: Some are missing.
    """
    pairs = {
        f"fusion.{place}maps.{kind}": [f"fusion.{place}{name}.{kind}" for name in names]
        for place, names in (("", ("conv_gamma", "conv_beta")), ("Spade.", ("mlp_gamma", "mlp_beta")))
        for kind in ("weight", "bias")
    }
    pairs["fusion.blending"] = ["fusion.blending_gamma", "fusion.blending_beta"]
    stacks = {
        f"fusion.fc_mu.{kind}": [f"fusion.fc_mu{k}.{kind}" for k in range(regions)] for kind in ("weight", "bias")
    }
    sources = [name for names in (pairs | stacks).values() for name in names]
    if missing := [name for name in sources if name not in state]:
        raise ConfigError(f"the weights are not in the layout of {LAYOUT}: no {', '.join(map(repr, missing))}")
    result = StateDict(
        (name, tensor) for name, tensor in state.items() if name not in sources and not UNUSED.fullmatch(name)
    )
    result |= {name: torch.cat([state[part] for part in parts]) for name, parts in pairs.items()}
    result |= {name: torch.stack([state[part] for part in parts]) for name, parts in stacks.items()}
    result["fusion.fc_mu.weight"] = result["fusion.fc_mu.weight"] / gain
    for name in (OTHERS["regressor.over_pixels"], OTHERS["regressor.over_channels"]):
        official = f"{name}.weight"
        outputs, inputs, positions, _ = read_shape(state, official, LAYOUT, 4)
        stored = state[official].reshape(outputs, inputs, positions)
        result[official] = stored.permute(2, 1, 0).contiguous()
    return result


def name_fusion_tensor(key: str) -> str:
    """Return the official name of one of our tensors, joined ones as `join_tensors` names them."""
    if match := re.fullmatch(r"(face|composite)\.stages\.(\d)\.(\d)\.(.+)", key):
        branch, stage, block, rest = match.groups()
        for ours, official in BLOCK_PARTS[branch].items():
            if rest.startswith(f"{ours}."):
                rest = official + rest.removeprefix(ours)
                break
        return f"{BRANCHES[branch]}.layer{int(stage) + 1}.{block}.{rest.replace('shortcut.', 'downsample.')}"
    layer, _, part = key.rpartition(".")
    branch, _, rest = layer.partition(".")
    if branch in BRANCHES:
        return f"{BRANCHES[branch]}.{STEM_PARTS[rest]}.{part}"
    if branch == "codes":
        return f"encoder.model.{CODE_LAYERS[rest.removeprefix('body.')]}.{part}"
    return OTHERS[key] if key in OTHERS else f"{OTHERS[layer]}.{part}"


# ---- Unsup3D ----


def identify_unsup3d(content: Mapping[str, Any]) -> str | None:
    """Return `unsup3d` for the content of an official file of Unsup3D, or of our own; None = other weights."""
    is_official = all(isinstance(content.get(name), Mapping) for name in UNSUP3D_NETWORKS)
    is_ours = all(f"{name}.network.0.weight" in content for name in UNSUP3D_NETWORKS.values())
    return "unsup3d" if is_official or is_ours else None


def read_unsup3d(path: Path) -> Unsup3dNetworks:
    """Read the networks of Unsup3D from an official checkpoint, or from a state_dict of `Unsup3dNetworks`.

    Args:
        path: The file, such as `checkpoint030.pth`; its optimizers and its confidence network are not read.

    Raises:
        ConfigError: It cannot be read without executing code, or holds something else.
    """
    content = read_weights_file(path)
    if not isinstance(content, Mapping) or identify_unsup3d(content) is None:
        needed = ", ".join(UNSUP3D_NETWORKS)
        raise ConfigError(f"{path}: not the networks {needed} of {UNSUP3D_LAYOUT}; name its checkpoint, a .pth file")
    if "netD" not in content:
        return make_unsup3d(as_state_dict(content, path), str(path))
    states = {ours: as_state_dict(content[name], path) for name, ours in UNSUP3D_NETWORKS.items()}
    state = {f"{ours}.{key}": tensor for ours, part in states.items() for key, tensor in part.items()}
    return make_unsup3d(state, str(path))


def make_unsup3d(state: Mapping[str, Tensor], what: str) -> Unsup3dNetworks:
    """Make networks with given weights, whose widths are read from these.

    Args:
        state: A state_dict of `Unsup3dNetworks`; the official names of a network follow ours.
        what: Where it comes from, for messages.

    Raises:
        ConfigError: Names missing or left over, or other shapes.
    """
    width = read_shape(state, "depth.network.0.weight", UNSUP3D_LAYOUT, 4)[0]
    code = read_shape(state, "depth.network.11.weight", UNSUP3D_LAYOUT, 4)[0]
    with torch.device("meta"):
        networks = Unsup3dNetworks(width, code)
    expected = networks.state_dict()
    weights = rename_tensors(state, {key: key for key in expected}, "geometry", UNSUP3D_LAYOUT)
    for key, tensor in weights.items():
        if tensor.shape != expected[key].shape:
            raise ConfigError(
                f"{what}: {key} has the shape {tuple(tensor.shape)}, expected {tuple(expected[key].shape)}"
            )
    networks.load_state_dict({key: tensor.float() for key, tensor in weights.items()}, assign=True)
    return networks
