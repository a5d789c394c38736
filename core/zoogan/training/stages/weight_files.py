"""Sorts files of official weights by the stages of a method that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.config.stages import OfficialFiles
from zoogan.errors import ConfigError
from zoogan.files import as_state_dict, read_weights_file
from zoogan.names import import_object

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
SHOWN_NAMES = 3  # of the tensors of a file, in messages


@dataclass
class Recipient:
    """An importer that files may go to, and the files that it got.

    Attributes:
        title: Whose importer it is, for messages.
        name: The method or the stage of the importer.
        official_files: How its files are told apart; None = they cannot be.
        option: What `--stage` takes instead of files, for messages; empty = nothing.
        given: The result that is given instead of files; None = files make it.
        is_needed: Whether the run needs it; if not, it may get no file.
        files: The file of each network.
    """

    title: str
    name: str
    official_files: OfficialFiles | None
    option: str = ""
    given: str | None = None
    is_needed: bool = True
    files: dict[str, Path] = field(default_factory=dict)

    def identify(self, content: Any) -> str | None:
        """Return which network of the method the content of a file is; None = none."""
        if self.official_files is None or not isinstance(content, Mapping):
            return None
        network: str | None = import_object(self.official_files.identify)(content)
        return network

    def describe_missing(self) -> str | None:
        """Describe the networks without a file, and how to give them; None if nothing is missing."""
        if self.given is not None or not (self.files or self.is_needed):
            return None
        if self.official_files is None:
            return f"missing: {self.title}, whose official files cannot be told apart; add --stage {self.option}"
        networks = [network for network in self.official_files.needed if network not in self.files]
        option = f" or --stage {self.option}" if self.option else ""
        return (
            f"missing: the {', the '.join(networks)} of {self.title}; add --weights FILE{option}" if networks else None
        )


def sort_weight_files(weights: Iterable[Path], recipients: Collection[Recipient], missing: Sequence[str] = ()) -> None:
    """Give each file to the one recipient whose network it holds.

    Args:
        weights: Files, and folders whose weight files are all taken.
        recipients: Get the files.
        missing: What else is missing, a line each.

    Raises:
        ConfigError: Files that no recipient knows, or two; two files of one network; missing networks. Lists every
            file with what it holds, and everything that is missing.
    """
    lines, is_right = [], True
    for path in list_weight_files(weights):
        try:
            holds = give_file(path, recipients)
        except ConfigError as error:
            holds, is_right = f"not used: {str(error).removeprefix(f'{path}: ')}", False
        lines.append(f"{path}: {holds}")
    missing = [line for recipient in recipients if (line := recipient.describe_missing())] + list(missing)
    if missing or not is_right:
        raise ConfigError("\n".join(["--weights: the files do not make a run:", *lines, *missing]))


def list_weight_files(weights: Iterable[Path]) -> list[Path]:
    """List files, and the weight files of folders.

    Raises:
        ConfigError: A folder has none.
    """
    files: list[Path] = []
    for path in weights:
        inside = sorted(file for file in path.glob("*") if file.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise ConfigError(f"--weights {path}: no weight files in this folder ({', '.join(SUFFIXES)}); name others")
        files += inside
    return files


def give_file(path: Path, recipients: Collection[Recipient]) -> str:
    """Give a file to the recipient whose network it holds, and describe what it holds.

    Raises:
        ConfigError: It cannot be read, no recipient knows it, several do, or its place is taken.
    """
    content = read_content(path)
    networks = [(recipient, network) for recipient in recipients if (network := recipient.identify(content))]
    if not networks:
        known = ", ".join(dict.fromkeys(recipient.name for recipient in recipients))
        raise ConfigError(f"no network of {known}; it holds {describe_content(content)}")
    if len(networks) > 1:
        titles = " or of ".join(recipient.title for recipient, _ in networks)
        raise ConfigError(f"a {networks[0][1]} of {titles}; give a run of all but one by --stage")
    recipient, network = networks[0]
    holds = f"the {network} of {recipient.title}"
    if recipient.given is not None:
        raise ConfigError(f"{holds}, which {recipient.given} gives already; leave one out")
    if network in recipient.files:
        raise ConfigError(f"{holds}, as {recipient.files[network]}; give one of them")
    recipient.files[network] = path
    return holds


def read_content(path: Path) -> Any:
    """Read a weight file; a state_dict loses the prefix of `nn.DataParallel`.

    Raises:
        ConfigError: It cannot be read without executing code.
    """
    content = read_weights_file(path)
    is_state_dict = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    return as_state_dict(content, path) if is_state_dict else content


def describe_content(content: Any) -> str:
    """Describe the content of a file that is not recognised."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    names = ", ".join(repr(str(name)) for name in list(content)[:SHOWN_NAMES])
    return f"{len(content)} entries: {names}{', ...' if len(content) > SHOWN_NAMES else ''}"
