"""Storing a data set for training, as files of the cache or as shards: what `zoo data prepare` and `pack` do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoogan.config import DataConfig, merge
from zoogan.config.problems import validate_model
from zoogan.config.registry import Registry
from zoogan.data.prepare import PreparedSplit, prepare_faces
from zoogan.data.shards.index import index_shards
from zoogan.data.shards.packing import PackedFaces, pack_faces
from zoogan.errors import ConfigError
from zoogan.interfaces.source import Source, Split
from zoogan.names import import_object, suggest_name
from zoogan.plugins.host import get_zoo
from zoogan.terminal.messages import Show


def prepare_data(
    root: str | Path | None = None,
    *,
    data: str = "folder",
    size: int = 64,
    splits: tuple[Split, ...] = ("train",),
    settings: Mapping[str, Any] | None = None,
    watch: Callable[[int, int], bool] = lambda done, faces: False,
    show: Show = print,
) -> list[PreparedSplit]:
    """Decode, crop and resize the faces of a source into the cache folder, where a training of this size finds them.

    Args:
        root: Folder of the source.
        data: Name of the source.
        size: Side of the faces in pixels, `data.image_size` of the training.
        splits: The splits to prepare.
        settings: Settings of the source, such as {"data": {"crop": 0.8}}; those of the training.
        watch: Called with (faces done, faces in all); True stops.
        show: Shows messages.

    Returns:
        What was done, see `zoogan.data.prepare_faces`.

    Raises:
        ConfigError: As `zoogan.data.prepare_faces`.
    """
    source, config = open_source(root, data, size, settings, attributes=())
    return prepare_faces(source, config, splits, watch=watch, show=show)


def pack_data(
    root: str | Path | None = None,
    *,
    out: str | Path,
    data: str = "folder",
    size: int | None = None,
    shard_mb: int = 64,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    watch: Callable[[int, int], object] = lambda done, faces: None,
) -> PackedFaces:
    """Pack the faces of a source into shards.

    Args:
        root: Folder of the source.
        out: Folder of the shards.
        data: Name of the source.
        size: Pack cropped squares of so many pixels; None packs the files as they are where that is possible, and
            squares of 64 pixels where it is not.
        shard_mb: MB from which the next shard begins.
        seed: Decides the order.
        settings: Settings of the source. All attributes are packed unless they name some.
        watch: Called with (faces done, faces in all).

    Raises:
        ConfigError: As `zoogan.data.pack_faces`.
    """
    source, config = open_source(root, data, size or 64, settings, attributes=None)
    return pack_faces(
        source, config, Path(out), shard_mb=shard_mb, seed=seed, squares=size is not None, watch=watch
    )  # fmt: skip


def index_data(root: str | Path) -> PackedFaces:
    """Make the index of tar files that another program wrote, see `zoogan.data.index_shards`.

    Args:
        root: Folder of the tar files.

    Raises:
        ConfigError: As `zoogan.data.index_shards`.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    shards = index_shards(folder).shards
    faces: dict[str, int] = {}
    for shard in shards:
        faces[shard.split] = faces.get(shard.split, 0) + len(shard.pictures)
    return PackedFaces(folder, faces, len(shards), sum(shard.bytes for shard in shards), None)


def open_source(
    root: str | Path | None,
    data: str,
    size: int,
    settings: Mapping[str, Any] | None,
    *,
    attributes: tuple[str, ...] | None,
) -> tuple[Source, DataConfig]:
    """Open a source by its name and settings.

    Args:
        root: Its folder.
        data: Its name.
        size: Side of the faces in pixels.
        settings: Nested, as of `--set`; only `data` may be set.
        attributes: The attributes where the settings name none; None = all that the source knows.

    Raises:
        ConfigError: The source is unknown, its settings are wrong, or it cannot be opened.
    """
    registry: Registry = get_zoo().registry
    sources = registry.list_names("source")
    if data not in sources:
        raise ConfigError(f"--data {data}: no such source{suggest_name(data, sources)}; known: {', '.join(sources)}")
    settings = settings or {}
    own = settings.get("data", {})
    if set(settings) - {"data"} or not isinstance(own, Mapping):
        raise ConfigError("--set: only settings of the source can be set here, like data.crop=0.8")
    component = registry.components["source", data]
    values = merge({"source": data, "image_size": size}, dict(own))
    if "attributes" not in own:
        values["attributes"] = attributes or ()
    if root is not None:
        values["root"] = str(Path(root).expanduser().resolve())
    config = validate_model(component.config, values, registry, "data")
    assert isinstance(config, DataConfig)
    list_known = getattr(import_object(component.build), "list_attributes", None)
    if attributes is None and "attributes" not in own and list_known is not None:
        config = config.model_copy(update={"attributes": tuple(list_known(config))})
    source: Source = registry.build("source", config)
    return source, config
