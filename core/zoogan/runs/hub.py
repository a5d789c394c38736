"""Runs on the Hugging Face Hub: their addresses, and fetching one. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoogan.errors import ConfigError

HTTP_LIBRARIES = ("requests", "httpx", "httpx2", "httpcore", "httpcore2")  # of versions of the client
_NAME = r"[A-Za-z0-9][\w.-]*"
_ADDRESS = re.compile(rf"(?!runs/)({_NAME}/{_NAME})(?:@([\w./-]+))?")
FETCHED = (
    "config.yaml", "facts.json", "stages.json", "requirements.txt", "model/*", "directions/*", "stages/*",
)  # fmt: skip
"""Files of a run on the Hub that are fetched: never code, which a run does not need."""


@dataclass(frozen=True)
class HubAddress:
    """The address of a run on the Hub.

    Attributes:
        repository: `owner/name`.
        revision: A branch, a tag or a commit; None = the newest.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")


def parse_hub_address(text: str | Path) -> HubAddress | None:
    """Parse `owner/name` or `owner/name@revision`; None if a text is neither.

    `runs/NAME` is none: it is where `zoo train` writes.
    """
    match = _ADDRESS.fullmatch(text.as_posix() if isinstance(text, Path) else text)
    return None if match is None else HubAddress(match[1], match[2])


def name_fetched_run(folder: Path) -> str | None:
    """Return the name of a run that was fetched into the cache of the Hub's client; None for other folders.

    Nothing is written there.
    """
    parents = folder.absolute().parents
    if len(parents) < 2 or parents[0].name != "snapshots" or not parents[1].name.startswith("models--"):
        return None
    return parents[1].name.removeprefix("models--")


def fetch_run(address: HubAddress) -> Path:
    """Fetch a run from the Hub, or find it in the cache of the Hub's client.

    Args:
        address: Which run.

    Returns:
        Its folder in the cache.

    Raises:
        ConfigError: There is no such run or revision, it is no run, or the Hub cannot be reached and it is not in the
            cache.
    """
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(address.repository, revision=address.revision, allow_patterns=list(FETCHED)))
    except hub.RepositoryNotFoundError:
        raise ConfigError(
            f"{address}: the Hub has no such model, or it is private; check the name, or log in with hf auth login"
        ) from None
    except (hub.RevisionNotFoundError, hub.LocalEntryNotFoundError) as error:
        if isinstance(error, hub.RevisionNotFoundError) or isinstance(error.__cause__, hub.RevisionNotFoundError):
            raise ConfigError(f"{address.repository}: it has no revision {address.revision!r} on the Hub") from None
        raise ConfigError(
            f"{address}: the Hub cannot be reached, and this run was not fetched before; connect this machine"
        ) from None
    except Exception as error:
        if not is_network_error(error):
            raise
        raise ConfigError(f"{address}: fetching it from the Hub failed: {error}") from error
    if not all((folder / name).is_file() for name in FETCHED[:2]):
        raise ConfigError(
            f"{address}: this model of the Hub is no run of zoogan (no {' and '.join(FETCHED[:2])} in it)"
        )
    return folder


def is_network_error(error: Exception) -> bool:
    """Return whether an error came from the network: of the system, or of the HTTP library of the Hub's client."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in HTTP_LIBRARIES
