"""The judge: a network that reads attributes, pose and parts off faces, and the folder where it is stored.

`zoo judge train` makes one. A judge measures runs, or is a stage of a method that trains with it; a run is never
measured with the judge that it was trained with.
"""

from __future__ import annotations

import hashlib
import json
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
from torch.nn import functional as F

from zoogan.config import ConfigModel
from zoogan.errors import ConfigError
from zoogan.files import find_folder, get_cache_folder, hash_file, replace_folder, write_tensors
from zoogan.foreign_files import explain_foreign_file
from zoogan.interfaces.graph import is_exporting
from zoogan.interfaces.study import JudgeReading
from zoogan.judges.network import JudgeNetwork, JudgeNetworkConfig
from zoogan.paths import make_file_name
from zoogan.plugins.gallery import resolve_path

FORMAT = 1
FACTS, WEIGHTS = "judge.json", "judge.safetensors"


class JudgeFacts(ConfigModel):
    """The content of judge.json.

    Attributes:
        format: Format of the file.
        build: Shape of the network.
        attributes: Attributes that it reads.
        thresholds: A face shows an attribute where its probability is above.
        table: attribute -> scores on the test split, see `score_attribute`.
        pose_error: In degrees, see `score_pose`; None if it reads no pose.
        segmentation: Scores of its segmentation, see `score_parts`, and `faces`, how many were scored.
        parts: Names of the classes that it segments.
        part_table: part -> scores, see `score_each_part`.
        source: The source that it was trained on.
        data: Settings of the source.
        pictures: Fingerprint of the source's files; None without files.
        training: How it was trained, and `faces` by split.
        seed: Seed of the training.
        digest: sha256 of the weights.
        versions: Versions of the libraries that it was trained with.
        date: ISO 8601.
    """

    format: int = FORMAT
    build: JudgeNetworkConfig
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
    """A trained judge; it is a `zoogan.interfaces.PartJudge`.

    Faces are (n, 3, h, w) in [-1, 1]; sizes other than `image_size` are resized, bilinear and antialiased. Each face is
    read independently of its batch.

    Args:
        network: The trained network.
        facts: Facts of the judge.
    """

    def __init__(self, network: JudgeNetwork, facts: JudgeFacts) -> None:
        # One memory layout, so that a judge and its stored copy compute the same bits.
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.facts = facts
        self.image_size = facts.build.image_size
        self.attributes: tuple[str, ...] = facts.attributes
        self.thresholds: Float[Tensor, " a"] = torch.tensor(facts.thresholds)
        # Hash everything that its readings depend on, not only the weights.
        content = f"{facts.digest} {facts.attributes} {facts.thresholds}"
        self.digest: str = hashlib.sha256(content.encode()).hexdigest()
        self.backbone: str = facts.build.backbone
        self.resizer: str = f"bilinear-antialias-{self.image_size}"
        self.table: Mapping[str, Mapping[str, float]] = facts.table
        self.parts: tuple[str, ...] = facts.parts
        self.part_table: Mapping[str, Mapping[str, float]] = facts.part_table
        self.part_scores: Mapping[str, float] = facts.segmentation or {}
        self._recent: deque[tuple[ref[Tensor], int, list[Tensor]]] = deque(maxlen=3)

    def to(self, device: torch.device | str) -> Judge:
        """Move the judge to a device, and return it."""
        self.network.to(device)
        self.thresholds = self.thresholds.to(device)
        return self

    @torch.no_grad()
    def _compute_maps(self, image: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        if is_exporting():  # its tensors have no values, and must not be kept
            return self.network.compute_maps(self._resize(image))
        # Several metrics read the same images one after the other; the trunk runs once.
        for recent, version, maps in self._recent:
            if recent() is image and version == image._version:
                return maps
        maps = self.network.compute_maps(self._resize(image))
        self._recent.append((ref(image), image._version, maps))
        return maps

    def _resize(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 s s"]:
        side = self.image_size
        if image.shape[-2:] != (side, side):
            dtype = torch.promote_types(image.dtype, torch.float32)
            image = F.interpolate(image.to(dtype), (side, side), mode="bilinear", antialias=True).to(image.dtype)
        return image.float()

    @torch.no_grad()
    def read_attributes(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """Compute P(attribute) of each face, as if both values were equally frequent.

        A face shows an attribute where this is above its threshold.
        """
        return self.network.read_attributes(self._compute_maps(image)).sigmoid()

    @torch.no_grad()
    def read_poses(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3"] | None:
        """Compute yaw, pitch and roll in degrees, as its source defines them; None if it reads no pose."""
        return self.network.read_pose(self._compute_maps(image)) if self.facts.build.pose else None

    @torch.no_grad()
    def read_parts(self, image: Float[Tensor, "n 3 h w"]) -> Int64[Tensor, "n s s"] | None:
        """Compute the class of each pixel at the judge's own size; None if it reads no parts."""
        return self.network.read_parts(self._compute_maps(image)).argmax(1) if self.facts.build.classes else None

    @torch.no_grad()
    def read_part_probabilities(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k s s"] | None:
        """Compute the probability of every part at each pixel, at the judge's own size; None if it reads no parts."""
        return self.network.read_parts(self._compute_maps(image)).softmax(1) if self.facts.build.classes else None

    @torch.no_grad()
    def read_parts_and_pose(self, image: Float[Tensor, "n 3 h w"]) -> tuple[Tensor | None, Tensor | None]:
        """Compute what `read_part_probabilities` and `read_poses` do, in one pass."""
        maps, build = self._compute_maps(image), self.facts.build
        parts = self.network.read_parts(maps).softmax(1) if build.classes else None
        return parts, self.network.read_pose(maps) if build.pose else None

    def read_with_gradient(self, image: Float[Tensor, "n 3 h w"]) -> JudgeReading:
        """Compute logits and pooled features of each face in one pass, through which a gradient passes to the face.

        The sigmoid of the logits equals `read_attributes`. Nothing is cached.
        """
        features = self.network.pool_features(self.network.compute_maps(self._resize(image)))
        return JudgeReading(self.network.classify_features(features), features)


# ---- finding and opening ----


def get_judge_folder(source: str, image_size: int) -> Path:
    """Get the default folder of the judge of a source's faces, such as `$ZOOGAN_CACHE/judges/drawn-64`."""
    return get_cache_folder() / "judges" / f"{make_file_name(source)}-{image_size}"


def find_judge(path: Path | None, source: str, image_size: int) -> tuple[Judge | None, str | None]:
    """Load the named judge, or the cached one of a source.

    Args:
        path: The judge's folder; None = the cached one.
        source: Name of the source.
        image_size: Image size of its faces, in pixels.

    Returns:
        As of `load_cached_judge`.

    Raises:
        ConfigError: The named judge cannot be opened.
    """
    return load_cached_judge(source, image_size) if path is None else (load_judge(path), None)


def load_cached_judge(source: str, image_size: int) -> tuple[Judge | None, str | None]:
    """Load the cached judge of a source. A broken judge is reported but not an error, since the user did not name it.

    Returns:
        (judge, None), (None, reason) if it is broken, (None, None) if there is none.
    """
    folder = get_judge_folder(source, image_size)
    try:
        return (load_judge(folder) if folder.is_dir() else None), None
    except ConfigError as error:
        return None, f"the judge in the cache cannot be used: {error}"


def load_judge(path: str | Path, *, device: torch.device | str = "cpu") -> Judge:
    """Load a judge. None of its files is a pickle.

    Args:
        path: Its folder, or `gallery:NAME`.
        device: Where its network goes.

    Raises:
        ConfigError: See `read_judge_facts`; the weights are missing, damaged or do not fit; or timm is missing.
    """
    folder = resolve_path(path)
    facts, weights = read_judge_facts(folder), find_folder(folder) / WEIGHTS
    if not weights.is_file():
        raise ConfigError(f"{folder}: no {WEIGHTS} in it; train the judge again")
    if reason := explain_foreign_file(weights):
        raise ConfigError(f"{weights}: {reason}")
    if hash_file(weights) != facts.digest:
        raise ConfigError(f"{weights}: does not match its checksum in {FACTS}; a damaged copy? Train or copy it again")
    with torch.random.fork_rng(devices=[]):  # the first weights are overwritten at once
        network = JudgeNetwork(facts.build)
    try:
        network.load_state_dict(load_file(weights))
    except RuntimeError as error:
        timm = facts.versions.get("timm")
        raise ConfigError(f"{weights}: does not fit {facts.build.backbone} of this timm (made with {timm})") from error
    return Judge(network, facts).to(device)


def read_judge_facts(folder: Path) -> JudgeFacts:
    """Read the facts of a judge, without its weights.

    Raises:
        ConfigError: The folder is no judge, or judge.json is damaged or of another format.
    """
    path = find_folder(folder) / FACTS
    if folder.is_file():
        reason = explain_foreign_file(folder) or "this is a file, and a judge is a folder; name the folder"
        raise ConfigError(f"{folder}: {reason}")
    if not path.is_file():
        raise ConfigError(f"{folder}: not a judge (no {FACTS} in it); zoo judge train makes one")
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: damaged or unreadable ({error})") from error
    file_format = content.get("format") if isinstance(content, dict) else None
    if file_format != FORMAT:
        raise ConfigError(f"{path}: format {file_format!r}, this zoogan reads format {FORMAT}; train the judge again")
    try:
        facts = JudgeFacts.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {where}: {first['msg']}; train the judge again") from error
    if not len(facts.attributes) == len(facts.thresholds) == facts.build.attributes:
        raise ConfigError(f"{path}: attributes, thresholds and build disagree; train the judge again")
    if len(facts.parts) != facts.build.classes:
        raise ConfigError(f"{path}: {len(facts.parts)} parts and {facts.build.classes} classes; train the judge again")
    return facts


# ---- storing ----


def check_judge_folder(folder: Path, force: bool) -> None:
    """Check that a judge may be written to a folder.

    Args:
        folder: Folder of the judge.
        force: Whether it may replace a judge; it never replaces anything else.

    Raises:
        ConfigError: The folder is in use.
    """
    present = find_folder(folder)
    names = {path.name for path in present.iterdir()} if present.is_dir() else set()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder}: a file of that name exists; name a folder")
    if names and not force:
        raise ConfigError(
            f"--out {folder}: the folder already holds files; replace the judge in it by --force, or choose another"
        )
    if names - {FACTS, WEIGHTS}:
        raise ConfigError(f"--out {folder}: holds {min(names - {FACTS, WEIGHTS})}, which is no part of a judge")


def save_judge(judge: Judge, folder: Path, *, force: bool = False) -> Judge:
    """Write a judge, the whole folder or nothing.

    Args:
        judge: The judge to store.
        folder: Folder of the judge.
        force: Replace the judge in the folder.

    Returns:
        The judge with the digest of its weights.

    Raises:
        ConfigError: See `check_judge_folder`.
    """
    check_judge_folder(folder, force)
    with replace_folder(folder) as draft:
        write_tensors(draft / WEIGHTS, judge.network.state_dict())
        facts = judge.facts.model_copy(update={"digest": hash_file(draft / WEIGHTS)})
        (draft / FACTS).write_text(json.dumps(facts.model_dump(mode="json"), indent=1))
    return Judge(judge.network, facts)
