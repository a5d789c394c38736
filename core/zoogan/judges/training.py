"""Trains the network of a judge: weighted losses over augmented faces, and an average of the last weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoogan.config import ConfigModel, DataConfig
from zoogan.config.models import MAX_BATCH
from zoogan.data.loader import make_loader, move_batch
from zoogan.interfaces import Source, World
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.game import Need
from zoogan.judges.augment import augment_faces
from zoogan.judges.network import BACKBONE, JudgeNetwork, plan_network
from zoogan.judges.splits import list_learnable_parts

RAREST = 0.05  # rarer values get the weight of this share, so that few faces do not dominate the loss
REPORT_EVERY = 50  # iterations
COUNTED_FACES = 500  # in which the shares of the parts are counted
RAREST_PART = 1e-4  # share of the pixels; rarer parts get its weight
FIELDS = ("image", "attributes", "visible", "pose", "segmentation")
Watch = Callable[[int, Mapping[str, float]], bool]
"""Is called after each iteration with its number and, now and then, the terms of the loss; True stops the training."""


class JudgeTrainingConfig(ConfigModel):
    """How a judge is trained. Each face is seen about `iterations * batch / faces` times.

    Attributes:
        backbone: timm's name of the network.
        pretrained: Begin with timm's weights, which may need a download.
        iterations: Iterations of the optimizer.
        batch: Faces an iteration.
        seed: Seed of weights, order and augmentation.
        rate: Peak of the one-cycle learning rate.
        decay: Weight decay; norms and biases have none.
        pose: Weight of the pose loss; that of the attributes is 1.
        parts: Weight of the loss of parts.
        part_balance: How much rare parts count: the loss of a pixel is divided by the share of its part in all pixels
            to this power, from 0 (as they come) to 1 (all parts alike).
        fine: Whether maps are finer than usual, see `plan_network`.
        width: Channels of the first maps of the default backbone, see `plan_network`.
    """

    backbone: str = BACKBONE
    pretrained: bool = False
    iterations: int = Field(3000, ge=1)
    batch: int = Field(64, ge=2, le=MAX_BATCH)
    seed: int = 0
    rate: float = Field(3e-3, gt=0)
    decay: float = Field(0.05, ge=0)
    pose: float = Field(0.3, ge=0)
    parts: float = Field(0.3, ge=0)
    part_balance: float = Field(0.0, ge=0, le=1)
    fine: bool = False
    width: int | None = Field(None, ge=8, multiple_of=8)


def fit_network(
    source: Source, data: DataConfig, training: JudgeTrainingConfig, device: torch.device, watch: Watch | None = None
) -> JudgeNetwork | None:
    """Train a network on the train split of a source.

    Args:
        source: The faces.
        data: Config of the source; its workers load the faces.
        training: How it is trained.
        device: Where to train.
        watch: May stop the training.

    Returns:
        The average over the last iterations, in eval mode; None if `watch` stopped the training.

    Raises:
        FloatingPointError: The loss became NaN or infinite.
    """
    fields = tuple(name for name in FIELDS if name in source.fields)
    with torch.random.fork_rng():  # for the initial weights, and random layers of the backbone
        torch.manual_seed(training.seed)
        network = make_network(source, training).to(device).to(memory_format=torch.channels_last)
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(choose_average_decay(training.iterations)))
        optimizer, schedule = make_optimizer(network, training)
        weights = compute_value_weights(source.read_labels("train")).to(device)
        part_weights = count_part_weights(source, network.build.classes, training.part_balance)
        mirrored = data.model_copy(update={"flip": True, "balance": None})
        batches = make_loader(
            source, mirrored, {"judge": Need(fields)}, training.seed, World.make_single(), 0, training.batch
        )
        with contextlib.closing(batches):
            for iteration in range(1, training.iterations + 1):
                sample = move_batch(next(batches), device)["judge"]
                draws = torch.Generator().manual_seed(derive_seed(training.seed, "judge", iteration))
                terms = compute_losses(network, augment_faces(sample, draws), weights, training, part_weights)
                optimizer.zero_grad()
                torch.stack(list(terms.values())).sum().backward()
                optimizer.step()
                schedule.step()
                average.update_parameters(network)
                is_reported = iteration % REPORT_EVERY == 0 or iteration == training.iterations
                values = read_terms(terms, iteration) if is_reported else {}
                if watch is not None and watch(iteration, values):
                    return None
    trained = average.module
    assert isinstance(trained, JudgeNetwork)
    return trained.eval().requires_grad_(False)


def read_terms(terms: Mapping[str, Tensor], iteration: int) -> dict[str, float]:
    """Read the terms of the loss from the device.

    Raises:
        FloatingPointError: One is NaN or infinite.
    """
    values = {name: float(term.detach()) for name, term in terms.items()}
    if not all(map(math.isfinite, values.values())):
        raise FloatingPointError(f"the loss is not finite at iteration {iteration}: {values}")
    return values


def make_network(source: Source, training: JudgeTrainingConfig) -> JudgeNetwork:
    """Make an untrained network with a head for each kind of label of a source.

    Pose is scaled by the mean and spread of training faces.
    """
    build = plan_network(
        training.backbone,
        source.image_size,
        len(source.attributes),
        pose="pose" in source.fields,
        classes=len(list_learnable_parts(source)),
        pretrained=training.pretrained,
        fine=training.fine,
        width=training.width,
    )
    network = JudgeNetwork(build, pretrained=training.pretrained)
    if build.pose:
        pose = source.read("train", range(min(1000, source.count_faces("train"))))["pose"]
        network.pose_mean, network.pose_spread = pose.mean(0), pose.std(0).clamp(min=1e-3)
    return network


def compute_value_weights(labels: Float[Tensor, "n a"]) -> Float[Tensor, "2 a"]:
    """Compute the weight of each face by its value, so that the values 0 and 1 count equally over all faces."""
    share = labels.mean(0)
    return torch.stack([0.5 / (1 - share).clamp(min=RAREST), 0.5 / share.clamp(min=RAREST)])


def count_part_weights(source: Source, classes: int, balance: float) -> Float[Tensor, " k"] | None:
    """Compute the weights of parts from the first training faces; None if the network reads no parts."""
    if not classes or not balance:
        return None
    count = min(COUNTED_FACES, source.count_faces("train"))
    return compute_part_weights(source.read("train", list(range(count)))["segmentation"], classes, balance)


def compute_part_weights(segmentation: Integer[Tensor, "n h w"], classes: int, balance: float) -> Float[Tensor, " k"]:
    """Compute the weight of the pixels of each part, with a mean of 1 over the pixels.

    Args:
        segmentation: Part of every pixel.
        classes: How many parts.
        balance: See `JudgeTrainingConfig.part_balance`.
    """
    pixels = segmentation.flatten().long()
    share = torch.bincount(pixels, minlength=classes) / len(pixels)
    weights = share.clamp(min=RAREST_PART) ** -balance
    return weights / weights[pixels].mean()


def compute_losses(
    network: JudgeNetwork,
    sample: Mapping[str, Tensor],
    weights: Float[Tensor, "2 a"],
    training: JudgeTrainingConfig,
    part_weights: Float[Tensor, " k"] | None = None,
) -> dict[str, Tensor]:
    """Compute the weighted loss of each head. Hidden attributes do not count.

    Args:
        network: The network to train.
        sample: Augmented faces and their labels.
        weights: See `compute_value_weights`.
        training: Weights of the heads.
        part_weights: See `compute_part_weights`.
    """
    maps, labels = network.compute_maps(sample["image"]), sample["attributes"]
    terms = {}
    if network.build.attributes:
        counts = torch.where(labels > 0.5, weights[1], weights[0])
        if "visible" in sample:
            counts = counts * sample["visible"]
        logits = network.read_attributes(maps)
        loss = F.binary_cross_entropy_with_logits(logits, labels, counts, reduction="sum")
        terms["attributes"] = loss / counts.sum().clamp(min=1)
    if network.build.pose:
        error = (network.read_pose(maps) - sample["pose"]) / network.pose_spread
        terms["pose"] = training.pose * F.smooth_l1_loss(error, torch.zeros_like(error))
    if network.build.classes:
        scores, truth = network.read_parts(maps), sample["segmentation"].long()
        losses = F.cross_entropy(
            scores, truth, None if part_weights is None else part_weights.to(scores), reduction="none"
        )
        terms["parts"] = training.parts * losses.mean()
    return terms


def make_optimizer(
    network: nn.Module, training: JudgeTrainingConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Make AdamW with a one-cycle learning rate; norms and biases have no weight decay."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, training.rate)
    warm_up = min(0.2, 500 / training.iterations)
    # One step more than there are iterations, because the last step of a cycle has a rate of almost 0.
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.rate, total_steps=training.iterations + 1, pct_start=warm_up
    )
    return optimizer, cycle


def choose_average_decay(iterations: int) -> float:
    """Choose the decay of the average: long, but short enough to forget the first weights."""
    return min(0.998, max(0.5, 1 - 10 / iterations))
