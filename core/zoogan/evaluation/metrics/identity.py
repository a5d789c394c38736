"""Identity: whether an edited face still shows the same person, measured with a network that the user names.

zoogan ships and downloads no face-recognition network: the user names a timm architecture and the file of its weights.
The result is the cosine similarity of that network's features. Results of different weights are not comparable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.auxiliary.features import Features
from zoogan.auxiliary.weight_files import get_weights_folder
from zoogan.config import ComponentConfig
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.files import hash_file
from zoogan.interfaces import Edits, Measure, Statistic, Study, Unavailable
from zoogan.names import suggest_name
from zoogan.paths import expand_path


class IdentityConfig(ComponentConfig):
    """Options of `identity`. The network should be trained to recognise faces.

    Attributes:
        backbone: timm's name of the network.
        weights: Its safetensors file; by default `<backbone>.safetensors` in the folder of metric weights.
        head: Use the last layer too, as in networks that embed faces; otherwise the pooled features are compared.
        options: Options of timm's create_model, such as img_size.
        size: Side of its input in pixels; by default timm's value for the backbone.
        mean: Mean of its input, RGB in [0, 1]; by default timm's value for the backbone.
        std: Standard deviation of its input, RGB in [0, 1]; by default timm's value for the backbone.
    """

    use: Literal["identity"] = "identity"
    immaterial: ClassVar[frozenset[str]] = frozenset({"weights"})
    backbone: str | None = None
    weights: Path | None = None
    head: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    size: int | None = Field(None, ge=8)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


class NamedNetwork(Features):
    """A timm network with weights from a safetensors file: its pooled features, or its last layer's embedding.

    Args:
        config: Names the network and its file.
        device: Device of the network.

    Raises:
        Unavailable: timm or the file is missing, timm knows no such network, or the file is of another network.
    """

    libraries = ("torch", "timm")

    def __init__(self, config: IdentityConfig, device: torch.device) -> None:
        super().__init__()
        if config.backbone is None:
            raise Unavailable(
                "no network is named: set identity.backbone=NAME (of timm) and identity.weights=FILE.safetensors; use "
                "a network that was trained to recognise faces"
            )
        path = find_network_file(config.weights, config.backbone)
        self.weights = hash_file(path)
        network = build_network(config, path)
        defaults = network.pretrained_cfg
        self.side = config.size or defaults["input_size"][-1]
        self.mean = torch.tensor(config.mean or defaults["mean"], device=device).view(3, 1, 1)
        self.std = torch.tensor(config.std or defaults["std"], device=device).view(3, 1, 1)
        self.network = network.eval().requires_grad_(False).to(device)
        self.dimensions = network.num_classes or network.num_features
        self.name = f"timm {config.backbone} {'last layer' if config.head else 'pooled features'}"
        self.resizer = f"bilinear {self.side} antialias=True align_corners=False (torch)"

    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Return the features of faces in [-1, 1], normalised as the network expects them."""
        size = (self.side, self.side)
        face = F.interpolate(image.float(), size, mode="bilinear", align_corners=False, antialias=True)
        return self.network((face.add(1).div(2) - self.mean) / self.std)


def find_network_file(given: Path | None, backbone: str) -> Path:
    """Find the weight file: the given one, or `<backbone>.safetensors` in the folder of metric weights.

    Raises:
        Unavailable: There is no such file.
    """
    path = get_weights_folder() / f"{backbone}.safetensors" if given is None else expand_path(given)
    if not path.is_file():
        raise Unavailable(
            f"{path}: no such file, the weights of {backbone}. Give their path with identity.weights=FILE, "
            f"or put {backbone}.safetensors into a folder named by ZOOGAN_METRIC_WEIGHTS"
        )
    return path


def build_network(config: IdentityConfig, path: Path) -> Any:
    """Build the timm network with the file's weights, without its last layer unless `head`.

    Raises:
        Unavailable: See `NamedNetwork`.
    """
    assert config.backbone is not None
    try:
        import timm
    except ImportError as error:
        raise Unavailable(f"identity needs timm ({error}): pip install timm") from error
    if not timm.is_model(config.backbone):
        hint = suggest_name(config.backbone, timm.list_models())
        raise Unavailable(f"identity.backbone: timm knows no {config.backbone!r}{hint}")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise Unavailable(f"{path}: not a safetensors file ({error})") from error
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are overwritten at once
            last = get_classifier_name(timm.create_model(config.backbone, **config.options))
            outputs = len(state[f"{last}.weight"]) if config.head else 0
            network: Any = timm.create_model(config.backbone, num_classes=outputs, **config.options)
        if not config.head:
            state = {name: part for name, part in state.items() if name.rpartition(".")[0] != last}
        network.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[:2]
        raise Unavailable(f"{path}: does not fit timm's {config.backbone} ({' '.join(reason)})") from error
    return network


def get_classifier_name(network: nn.Module) -> str:
    """Return the name of the layer that timm calls the classifier."""
    return str(network.pretrained_cfg["classifier"])  # type: ignore[index]


def compute_cosine(one: Float[Tensor, "n d"], other: Float[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """Compute the cosine between features, row by row."""
    return F.cosine_similarity(one.cpu().double(), other.cpu().double()).clamp(-1, 1)


class Identity(FaceMetric):
    """Cosine similarity of faces in the features of a network that the user names.

    `identity.similarity` is of the input and its edit, from -1 to 1. `identity.truth` is of the input and the true
    redraw, where it is known: the similarity of a perfect edit. Faces are cropped as the source crops them.
    """

    Config = IdentityConfig
    kinds = ("edits", "generated")
    title = "Identity: cosine similarity of the input's and the edit's features in a network named by the user"
    better: ClassVar = {"identity.similarity": "higher", "identity.truth": None}
    config: IdentityConfig

    def start(self, study: Study) -> None:
        """Open the network.

        Raises:
            Unavailable: See `NamedNetwork`.
        """
        super().start(study)
        self.network = NamedNetwork(self.config, study.device)

    def update(self, edits: Edits) -> None:
        """Add one value a face, two where the true redraw is known."""
        before = self.network(edits.image)
        self.add_rows("identity.similarity", edits, compute_cosine(before, self.network.extract_batch(edits)))
        if edits.true_redraw is not None:
            self.add_rows("identity.truth", edits, compute_cosine(before, self.network(edits.true_redraw)))

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure with the network as backbone."""
        network = self.network
        return Measure(
            name, attribute, statistic, self.better[name], backbone=network.name, weights=network.weights,
            resizer=network.resizer, libraries=network.libraries,
        )  # fmt: skip
