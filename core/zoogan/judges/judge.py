"""The judge: a network that reads attributes, pose and parts, as far as it learnt them, off faces.

It has no part in any training of a generator; `zoo judge train` makes one, and metrics ask it what edits show.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import ref

import torch
from jaxtyping import Float, Int64
from pydantic import Field, ValidationError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.transforms.v2 import functional

from zoogan.config import ConfigError, ConfigModel
from zoogan.data.label_sets import built_in
from zoogan.files import get_cache_folder, hash_file, sync_to_disk, write_tensors
from zoogan.judges.network import Build, JudgeNetwork

FORMAT = 1
FACTS, WEIGHTS = "judge.json", "judge.safetensors"


class JudgeFacts(ConfigModel):
    """What a judge says of itself: `judge.json`.

    thresholds: a face shows an attribute where its probability is above. table: attribute -> scores on the test split
    (see `attribute_scores`). pose_error: degrees (see `pose_scores`). parts: names of the classes that it tells apart;
    segmentation: how well (see `part_scores`), and on how many faces; part_table: and each of them (see `part_table`).
    source, data: what it learnt from. pictures: fingerprint of the files of it; None without files, and in older
    judges. digest: sha256 of the weights.
    """

    format: int = FORMAT
    build: Build
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]
    table: dict[str, dict[str, float]]
    pose_error: dict[str, float] | None = None
    segmentation: dict[str, float] | None = None
    parts: tuple[str, ...] = ()
    part_table: dict[str, dict[str, float]] = Field(default_factory=dict)
    source: str
    data: dict[str, Any]
    pictures: str | None = None
    training: dict[str, Any]
    seed: int
    digest: str = ""
    versions: dict[str, str]
    date: str


class Judge:
    """A trained judge; it fills `zoogan.interfaces.Reader`, and `Parser` too.

    Faces are (n, 3, h, w) in [-1, 1]; sizes other than `image_size` are resized, bilinear and antialiased. Faces are
    judged one by one: what is in a batch beside them does not show.
    """

    def __init__(self, network: JudgeNetwork, facts: JudgeFacts) -> None:
        # One memory layout, so that a judge and its stored copy compute the same bits.
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.facts = facts
        self.image_size = facts.build.image_size
        self.attributes: tuple[str, ...] = facts.attributes
        self.thresholds: Float[Tensor, " a"] = torch.tensor(facts.thresholds)
        # Of all that its readings depend on, not of the weights alone.
        said = f"{facts.digest} {facts.attributes} {facts.thresholds}"
        self.digest: str = hashlib.sha256(said.encode()).hexdigest()
        self.backbone: str = facts.build.backbone
        self.resizer: str = f"bilinear-antialias-{self.image_size}"
        self.table: Mapping[str, Mapping[str, float]] = facts.table
        self.parts: tuple[str, ...] = facts.parts
        self.part_table: Mapping[str, Mapping[str, float]] = facts.part_table
        self.part_scores: Mapping[str, float] = facts.segmentation or {}
        self._recent: deque[tuple[ref[Tensor], int, list[Tensor]]] = deque(maxlen=3)

    def to(self, device: torch.device | str) -> Judge:
        """This judge, moved."""
        self.network.to(device)
        self.thresholds = self.thresholds.to(device)
        return self

    @torch.no_grad()
    def _maps(self, image: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        # Several metrics ask several things about the same pictures in turn; the trunk looks at them once.
        for seen, version, maps in self._recent:
            if seen() is image and version == image._version:
                return maps
        side = self.image_size
        fitted = image if image.shape[-2:] == (side, side) else functional.resize(image, [side, side], antialias=True)
        maps = self.network.maps(fitted.float())
        self._recent.append((ref(image), image._version, maps))
        return maps

    @torch.no_grad()
    def probabilities(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """P(attribute) of each face, were both values equally frequent; shown where above `thresholds`."""
        return self.network.read_attributes(self._maps(image)).sigmoid()

    @torch.no_grad()
    def poses(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3"] | None:
        """Yaw, pitch and roll in degrees, as its source counts them; None if it did not learn them."""
        return self.network.read_pose(self._maps(image)) if self.facts.build.pose else None

    @torch.no_grad()
    def segmentation(self, image: Float[Tensor, "n 3 h w"]) -> Int64[Tensor, "n s s"] | None:
        """The class of each pixel at the judge's own size; None if it did not learn them."""
        return self.network.read_parts(self._maps(image)).argmax(1) if self.facts.build.classes else None


def default_judge(source: str, image_size: int) -> Path:
    """Where the judge of a source's faces lies unless somebody says otherwise: `$ZOOGAN_CACHE/judges/drawn-64`."""
    return get_cache_folder() / "judges" / f"{source}-{image_size}"


def judge_in_cache(source: str, image_size: int) -> tuple[Any, str | None]:
    """The judge at the default place, and why it cannot be used: nobody asked for this one, so that whatever needs no
    judge can be done without it. (None, None) where there is none."""
    found = default_judge(source, image_size)
    try:
        return (load_judge(found) if found.is_dir() else None), None
    except ConfigError as error:
        return None, f"the judge in the cache cannot be used: {error}"


def check_free(folder: Path, force: bool) -> None:
    """That a judge may be written to a folder; with `force` it may replace a judge, and nothing else.

    Raises:
        ConfigError: something is there already.
    """
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder}: a file of that name is there")
    if there and not force:
        raise ConfigError(
            f"--out {folder}: the folder is in use; replace the judge in it by --force, or choose another"
        )
    if there - {FACTS, WEIGHTS}:
        raise ConfigError(f"--out {folder}: holds {min(there - {FACTS, WEIGHTS})}, which is no part of a judge")


def save_judge(judge: Judge, folder: Path, *, force: bool = False) -> Judge:
    """Write a judge: the whole folder or nothing. Returns it with the digest of its weights.

    Raises:
        ConfigError: see `check_free`.
    """
    check_free(folder, force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    for stale in (draft, old):
        shutil.rmtree(stale, ignore_errors=True)
    draft.mkdir()
    try:
        write_tensors(draft / WEIGHTS, judge.network.state_dict())
        facts = judge.facts.model_copy(update={"digest": hash_file(draft / WEIGHTS)})
        (draft / FACTS).write_text(json.dumps(facts.model_dump(mode="json"), indent=1))
        for path in (draft / WEIGHTS, draft / FACTS, draft):
            sync_to_disk(path)
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    finally:
        for rest in (draft, old):
            shutil.rmtree(rest, ignore_errors=True)
    return Judge(judge.network, facts)


def read_facts(folder: Path) -> JudgeFacts:
    """What a judge says of itself, without its weights.

    Raises:
        ConfigError: no judge, a damaged file, or one of a newer format.
    """
    path = folder / FACTS
    if not path.is_file():
        raise ConfigError(f"{folder}: not a judge (no {FACTS} in it); zoo judge train makes one")
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: damaged or unreadable ({error})") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ConfigError(f"{path}: format {found!r}, this zoogan reads format {FORMAT}; train the judge again")
    try:
        facts = JudgeFacts.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {where}: {first['msg']}; train the judge again") from error
    if not len(facts.attributes) == len(facts.thresholds) == facts.build.attributes:
        raise ConfigError(f"{path}: attributes, thresholds and build disagree; train the judge again")
    drawn = built_in("celebamask-19").names
    if not facts.parts and facts.build.classes == len(drawn):  # judges of drawn faces, before parts had names
        facts = facts.model_copy(update={"parts": drawn})
    if len(facts.parts) != facts.build.classes:
        raise ConfigError(f"{path}: {len(facts.parts)} parts and {facts.build.classes} classes; train the judge again")
    return facts


def load_judge(path: str | Path, *, device: torch.device | str = "cpu") -> Judge:
    """Open a judge. Nothing in it is a pickle.

    Raises:
        ConfigError: see `read_facts`; weights that are missing, or are not those that the judge was stored with; timm
            is missing.
    """
    folder = Path(path)
    facts, weights = read_facts(folder), folder / WEIGHTS
    if not weights.is_file():
        raise ConfigError(f"{folder}: no {WEIGHTS} in it; train the judge again")
    if hash_file(weights) != facts.digest:
        raise ConfigError(f"{weights}: does not match its checksum in {FACTS}; a damaged copy? Train or copy it again")
    with torch.random.fork_rng(devices=[]):  # what it begins with is overwritten at once
        network = JudgeNetwork(facts.build)
    try:
        network.load_state_dict(load_file(weights))
    except RuntimeError as error:
        timm = facts.versions.get("timm")
        raise ConfigError(f"{weights}: does not fit {facts.build.backbone} of this timm (made with {timm})") from error
    return Judge(network, facts).to(device)
