"""`zoo doctor`: is this machine fit to train, and what is wrong if not. Imports torch, last of all."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from zoogan.cli.arguments import PluginFiles

ROOM = 2 * 2**30  # bytes: a few checkpoints of a large method

Line = tuple[str, str, str]  # `ok`, `note` or `problem`; what was looked at; what was found


def doctor(plugin: PluginFiles = None) -> int:
    """Check versions, devices, plugins and the disk."""
    problems = 0
    for state, what, found in examine(tuple(plugin or ())):
        problems += state == "problem"
        print(f"{state:<8} {what + ':':<13} {found}", flush=True)
    print(f"\n{problems} problem{'' if problems == 1 else 's'}")
    return 1 if problems else 0


def examine(files: tuple[Path, ...]) -> Iterator[Line]:
    """Every finding, in the order in which they are told."""
    yield from versions()
    yield from plugins(files)
    yield from disk(Path.cwd())
    yield from devices()


def versions() -> Iterator[Line]:
    """Versions, from the installed metadata: nothing is imported for it."""
    from zoogan import __version__

    yield "ok", "python", f"{platform.python_version()} on {platform.platform()}"
    yield "ok", "zoogan", __version__
    needed = requirements()
    if not needed:
        yield "note", "zoogan", "not installed (a source tree), so nobody knows what it needs: pip install -e ."
    for name, extra in needed.items():
        try:
            yield "ok", name, metadata.version(name)
        except metadata.PackageNotFoundError:
            if extra:
                yield "note", name, f'not installed (optional): pip install "zoogan[{extra}]"'
            else:
                yield "problem", name, f"not installed: pip install {name}"


def requirements() -> dict[str, str]:
    """What zoogan says that it needs, by name: the extra that brings it, empty for what is always needed. What only its
    developers need is left out."""
    try:
        lines = metadata.requires("zoogan") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)""", line)
        if name is not None and (extra is None or extra[1] != "dev"):
            found.setdefault(name[0], extra[1] if extra else "")
    return found


def plugins(files: tuple[Path, ...]) -> Iterator[Line]:
    """Plugins that are in use, those that are left out, and those that failed."""
    from zoogan.plugins.host import get_zoo

    opened = get_zoo()
    opened.load_files(files)
    for info in opened.plugins:
        source = f"{info.distribution} {info.version}" if info.distribution else info.where
        brought = [f"methods {', '.join(info.methods)}"] if info.methods else []
        brought += [f"{len(info.components)} components"] if info.components else []
        brought += [f"commands {', '.join(info.commands)}"] if info.commands else []
        yield "ok", "plugin", f"{info.name} ({source}): {'; '.join(brought) or ', '.join(info.hooks)}"
        for warning in info.warnings:
            yield "note", "plugin", f"{info.name}: {warning}"
    for name in opened.disabled:
        yield "note", "plugin", f"{name}: left out by ZOO_DISABLE_PLUGINS"
    for warning in opened.warnings:
        yield "note", "plugin", warning
    for failure in opened.failures:
        yield (
            "problem",
            "plugin",
            f"{failure.name}: {failure.reason} (hint: {failure.hint}; from {failure.where})",
        )


def disk(folder: Path) -> Iterator[Line]:
    """Room, and leave to write, where runs would be stored."""
    try:
        free = shutil.disk_usage(folder).free
        state = "ok" if free > ROOM else "problem"
        yield state, "disk", f"{free / 2**30:.1f} GiB free in {folder}"
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield "ok", "write", f"{folder} can be written"
    except OSError as error:
        yield "problem", "write", f"{folder} cannot be written: {error.strerror} (hint: use --out elsewhere)"


def devices() -> Iterator[Line]:
    """Devices that torch sees, with the precisions that they compute in."""
    try:
        import torch
    except Exception as error:
        yield "problem", "devices", f"torch cannot be imported: {error} (hint: reinstall torch)"
        return
    threads = torch.get_num_threads()
    yield "ok", "cpu", f"{threads} thread{'' if threads == 1 else 's'} of {os.cpu_count()} cores; fp32, bf16"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            # Before compute capability 8 bf16 is emulated: it runs, slower than fp32.
            precisions = "fp32, bf16" if device.major >= 8 else "fp32"
            yield "ok", f"cuda:{index}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB; {precisions}"
    elif torch.version.cuda or torch.version.hip:
        yield (
            "note",
            "cuda",
            f"torch is built for CUDA {torch.version.cuda or torch.version.hip}, no device is seen",
        )
    if torch.backends.mps.is_available():
        yield "ok", "mps", "fp32"
    if sys.platform != "win32" and torch.distributed.is_available():
        yield "ok", "processes", "accelerate launch -m zoogan train ... trains on several"
