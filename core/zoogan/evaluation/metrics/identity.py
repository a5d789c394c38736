"""Whether an edited face is still the same person, as a network that you name sees it.

No face-recognition network may be shipped or fetched here, so the person who measures brings one: a timm architecture
and its weights. What comes out is the cosine similarity of that network's features, no more and no less; numbers
through different weights never share a column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.auxiliary.features import Features
from zoogan.auxiliary.weight_files import weights_folder
from zoogan.evaluation.distribution_config import IdentityConfig
from zoogan.evaluation.metrics.rows import Better, FaceMetric
from zoogan.facts import Facts
from zoogan.files import hash_file
from zoogan.interfaces import Edits, Measure, Statistic, Study, Unavailable
from zoogan.names import suggest_name


class NamedNetwork(Features):
    """A timm network with weights from a safetensors file: its pooled features, or its last layer's embedding.

    Raises:
        Unavailable: timm or the file is missing, timm knows no such network, or the file holds another one.
    """

    libraries = ("torch", "timm")

    def __init__(self, config: IdentityConfig, device: torch.device) -> None:
        super().__init__()
        if config.backbone is None:
            raise Unavailable(
                "no network is named: say identity.backbone=NAME (of timm) and identity.weights=FILE.safetensors; a "
                "network trained to recognise faces is what tells persons apart"
            )
        path = located(config.weights, config.backbone)
        self.weights = hash_file(path)
        network = built(config, path)
        known = network.pretrained_cfg
        self.side = config.size or known["input_size"][-1]
        self.mean = torch.tensor(config.mean or known["mean"], device=device).view(3, 1, 1)
        self.std = torch.tensor(config.std or known["std"], device=device).view(3, 1, 1)
        self.network = network.eval().requires_grad_(False).to(device)
        self.dimensions = network.num_classes or network.num_features
        self.name = f"timm {config.backbone} {'last layer' if config.head else 'pooled features'}"
        self.resizer = f"bilinear {self.side} antialias=True align_corners=False (torch)"

    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Of RGB in [0, 1], less the mean, by the standard deviation."""
        size = (self.side, self.side)
        face = F.interpolate(image.float(), size, mode="bilinear", align_corners=False, antialias=True)
        return self.network((face.add(1).div(2) - self.mean) / self.std)


def located(given: Path | None, backbone: str) -> Path:
    """The weight file: where it is said to be, or `<backbone>.safetensors` in the folder of metric weights.

    Raises:
        Unavailable: it is not there.
    """
    path = weights_folder() / f"{backbone}.safetensors" if given is None else given.expanduser()
    if not path.is_file():
        raise Unavailable(
            f"{path}: no such file, the weights of {backbone}. Say where they are with identity.weights=FILE, "
            f"or put {backbone}.safetensors into a folder named by ZOOGAN_METRIC_WEIGHTS"
        )
    return path


def built(config: IdentityConfig, path: Path) -> Any:
    """The network with the file's weights, and without its last layer unless `head`.

    Raises:
        Unavailable: see `NamedNetwork`.
    """
    assert config.backbone is not None
    try:
        import timm
    except ImportError as error:
        raise Unavailable(f"identity looks through timm ({error}): pip install 'zoogan[evaluate]'") from error
    if not timm.is_model(config.backbone):
        known = timm.list_models()
        raise Unavailable(f"identity.backbone: timm knows no {config.backbone!r}{suggest_name(config.backbone, known)}")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise Unavailable(f"{path}: not a safetensors file ({error})") from error
    try:
        with torch.random.fork_rng(devices=[]):  # what it begins with is overwritten at once
            last = last_layer(timm.create_model(config.backbone, **config.options))
            outputs = len(state[f"{last}.weight"]) if config.head else 0
            network: Any = timm.create_model(config.backbone, num_classes=outputs, **config.options)
        if not config.head:
            state = {name: part for name, part in state.items() if name.rpartition(".")[0] != last}
        network.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[:2]
        raise Unavailable(f"{path}: does not fit timm's {config.backbone} ({' '.join(reason)})") from error
    return network


def last_layer(network: nn.Module) -> str:
    """The name of the layer that timm calls the classifier."""
    return str(network.pretrained_cfg["classifier"])  # type: ignore[index]


def similarity(one: Float[Tensor, "n d"], other: Float[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """The cosine between features, row by row."""
    return F.cosine_similarity(one.cpu().double(), other.cpu().double()).clamp(-1, 1)


class Identity(FaceMetric):
    """`identity.similarity`: of the input and its edit, from -1 to 1. `identity.truth`: of the input and the true
    redraw, where it is known: so much of the change is what was asked for. Faces are seen as the source cuts them.
    """

    title = "Identity: cosine similarity of the input's and the edit's features in a network named by the user"
    better: ClassVar[dict[str, Better]] = {"identity.similarity": "higher", "identity.truth": None}

    def __init__(self, config: IdentityConfig, facts: Facts | None = None) -> None:
        self.config = config

    def start(self, study: Study) -> None:
        """Open the network.

        Raises:
            Unavailable: see `NamedNetwork`.
        """
        super().start(study)
        self.network = NamedNetwork(self.config, study.device)

    def update(self, edits: Edits) -> None:
        """One value a face, two where the truth is known."""
        before = self.network(edits.image)
        self.add("identity.similarity", edits, similarity(before, self.network.of(edits)))
        if edits.truth is not None:
            self.add("identity.truth", edits, similarity(before, self.network(edits.truth)))

    def measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """With the network that looks."""
        network = self.network
        return Measure(
            name, attribute, statistic, self.better[name], backbone=network.name, weights=network.weights,
            resizer=network.resizer, libraries=network.libraries,
        )  # fmt: skip
