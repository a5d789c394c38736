"""Paths as people type them: checked and expanded. Imports no torch."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from zoogan.errors import ConfigError

MAX_NAME = 255  # bytes of a file name, of every common file system
MAX_PATH = 4096  # bytes of a path on Linux
MAX_STEM = 80  # bytes of the part of a file name that comes from data
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows keeps to itself

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def explain_path(path: str | os.PathLike[str]) -> str | None:
    """Explain why no file can have a path; None if one can.

    Args:
        path: What a person typed. It need not exist.
    """
    text = os.fspath(path)
    if "\0" in text:
        return "it contains a NUL character"
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        return "it contains characters that no file name has"
    if len(encoded) > MAX_PATH:
        return f"it has {len(encoded)} bytes, more than the {MAX_PATH} of a path"
    if (longest := max(map(len, encoded.split(os.fsencode(os.sep))))) > MAX_NAME:
        return f"a name in it has {longest} bytes, more than {MAX_NAME}"
    if text.startswith("~"):
        try:
            Path(text).expanduser()
        except RuntimeError:  # pathlib's for a user without a home folder
            return f"there is no home folder of {Path(text).parts[0]}"
    return None


def expand_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with `~` expanded.

    Args:
        path: What a person typed. It need not exist.

    Raises:
        ConfigError: No file can have this path.
    """
    if reason := explain_path(path):
        raise ConfigError(f"{shorten(os.fspath(path))}: {reason}; name another path")
    return Path(path).expanduser()


def make_file_name(name: str) -> str:
    """Make a part of a file name from a name that data, a run or a plugin chose, such as an attribute.

    Letters, digits, `_`, `-` and `.` stay. A name that has others, begins with a dot or hyphen, is too long, or is a
    device of Windows is changed and gets a hash of the name behind it, so that different names stay different.

    Args:
        name: Any text.

    Returns:
        A name without separators, of at most 80 bytes, that is a file in the folder it is joined to.
    """
    text = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in name).strip(".-")
    if len(text.encode(errors="replace")) > MAX_STEM or DEVICES.fullmatch(text) or text != name or not text:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        text = cut_text(text, MAX_STEM - len(digest) - 1)
        return f"{text}-{digest}" if text and not DEVICES.fullmatch(text) else f"name-{digest}"
    return text


def cut_text(text: str, size: int) -> str:
    """Cut a text to so many bytes of UTF-8, between two letters."""
    return os.fsencode(text)[:size].decode(errors="ignore")


def check_regular_file(path: Path, what: str = "a file") -> None:
    """Check that a path can be read like a file: a named pipe would wait, and a device may never end.

    Args:
        path: The path.
        what: What is expected, for the message.

    Raises:
        ConfigError: It is missing, a folder, a device or a named pipe, or it may not be looked at.
    """
    if reason := explain_path(path):
        raise ConfigError(f"{shorten(str(path))}: {reason}; name {what}")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "no file")
        raise ConfigError(f"{path}: this is {kind}; name {what}")


def shorten(text: str, length: int = 200) -> str:
    """Return a text for a message, with the middle left out where it is long.

    Args:
        text: The text.
        length: The longest text that stays whole.
    """
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]} ({len(text)} characters)"
