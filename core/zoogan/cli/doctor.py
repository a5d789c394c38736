"""The verb `zoo doctor`. Imports torch last, so that the other checks are shown first."""

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

from zoogan.cli.arguments import Json, PluginFiles, print_json

FREE_SPACE = 2 * 2**30  # bytes: a few checkpoints of a large method

Finding = tuple[str, str, str]  # `ok`, `note` or `problem`; the subject; the text


def doctor(plugin: PluginFiles = None, as_json: Json = False) -> int:
    """Check versions, devices, plugins and the disk."""
    problems, findings = 0, []
    for state, subject, text in examine_machine(tuple(plugin or ())):
        problems += state == "problem"
        findings.append({"state": state, "subject": subject, "text": text})
        if not as_json:
            print(f"{state:<8} {subject + ':':<13} {text}", flush=True)
    if as_json:
        print_json({"problems": problems, "findings": findings})
    else:
        print(f"\n{problems} problem{'' if problems == 1 else 's'}")
    return 1 if problems else 0


def examine_machine(files: tuple[Path, ...]) -> Iterator[Finding]:
    """Yield every finding, in the order of the report."""
    yield from check_versions()
    yield from check_plugins(files)
    yield from check_gallery()
    yield from check_disk(Path.cwd())
    yield from check_devices()
    yield from list_stage_findings()


def check_versions() -> Iterator[Finding]:
    """Yield versions from the installed metadata, without importing the packages."""
    from zoogan import __version__

    yield "ok", "python", f"{platform.python_version()} on {platform.platform()}"
    yield "ok", "zoogan", __version__
    needed = read_requirements()
    if not needed:
        yield "note", "zoogan", "not installed (a source tree), so its requirements are unknown: pip install -e ."
    for name, extra in needed.items():
        try:
            yield "ok", name, metadata.version(name)
        except metadata.PackageNotFoundError:
            if extra:
                yield "note", name, f'not installed (optional): pip install "zoogan[{extra}]"'
            else:
                yield "problem", name, f"not installed: pip install {name}"


def read_requirements() -> dict[str, str]:
    """Read zoogan's requirements from its metadata, without those of its developers.

    Returns:
        Package name -> the extra that brings it; empty for packages that are always needed.
    """
    try:
        lines = metadata.requires("zoogan") or []
    except metadata.PackageNotFoundError:
        return {}
    requirements: dict[str, str] = {}
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)""", line)
        if name is not None and (extra is None or extra[1] != "dev"):
            requirements.setdefault(name[0], extra[1] if extra else "")
    return requirements


def check_plugins(files: tuple[Path, ...]) -> Iterator[Finding]:
    """Yield the plugins in use, the disabled ones and the failed ones."""
    from zoogan.plugins.host import get_zoo

    host = get_zoo()
    host.load_files(files)
    for info in host.plugins:
        source = f"{info.distribution} {info.version}" if info.distribution else info.where
        contents = [f"methods {', '.join(info.methods)}"] if info.methods else []
        contents += [f"{len(info.components)} components"] if info.components else []
        contents += [f"commands {', '.join(info.commands)}"] if info.commands else []
        yield "ok", "plugin", f"{info.name} ({source}): {'; '.join(contents) or ', '.join(info.hooks)}"
        for warning in info.warnings:
            yield "note", "plugin", f"{info.name}: {warning}"
    for name in host.disabled:
        yield "note", "plugin", f"{name}: left out by ZOOGAN_DISABLE_PLUGINS"
    for warning in host.warnings:
        yield "note", "plugin", warning
    for failure in host.failures:
        yield (
            "problem",
            "plugin",
            f"{failure.name}: {failure.reason} (hint: {failure.hint}; from {failure.where})",
        )


def check_gallery() -> Iterator[Finding]:
    """Yield the entries of the gallery, and those that cannot be used."""
    from zoogan.plugins.gallery import INSTALL, list_gallery, open_gallery

    entries = list_gallery()
    if not entries:
        yield "note", "gallery", f"no trained runs are installed (optional): {INSTALL}"
    for package in dict.fromkeys((entry.distribution, entry.version) for entry in entries):
        names = [entry.name for entry in entries if (entry.distribution, entry.version) == package]
        yield "ok", "gallery", f"{', '.join(names)} ({' '.join(filter(None, package))})"
    for failure in open_gallery().failures:
        yield "problem", "gallery", f"{failure.name}: {failure.reason} (hint: {failure.hint})"


def check_disk(folder: Path) -> Iterator[Finding]:
    """Yield the free space and whether runs can be written."""
    try:
        free = shutil.disk_usage(folder).free
        state = "ok" if free > FREE_SPACE else "problem"
        yield state, "disk", f"{free / 2**30:.1f} GiB free in {folder}"
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield "ok", "write", f"{folder} can be written"
    except OSError as error:
        yield "problem", "write", f"{folder} cannot be written: {error.strerror} (hint: use --out elsewhere)"


def check_devices() -> Iterator[Finding]:
    """Yield the devices that torch can use, with their precisions."""
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
        yield "ok", "processes", "torchrun --nproc-per-node 2 -m zoogan train ... trains in two"


def list_stage_findings() -> Iterator[Finding]:
    """Yield the stages of each method that has some, opened untrained on the meta device."""
    from zoogan.plugins.host import get_zoo

    registry = get_zoo().registry
    for spec in registry.methods.values():
        if not spec.stages:
            continue
        try:
            import torch

            from zoogan.composition.build import expect_facts
            from zoogan.composition.stages import import_stage_function, open_stages
            from zoogan.config import compose_config

            config = compose_config(spec, registry)
            for stage in spec.stages:
                import_stage_function(stage, "run")
            with torch.device("meta"):
                open_stages(config, expect_facts(config), registry)
        except Exception as error:  # of any plugin
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield "problem", "stages", f"{spec.name}: {reason} (hint: upgrade or reinstall plugin {spec.plugin!r})"
        else:
            yield "ok", "stages", f"{spec.name}: {', '.join(stage.name for stage in spec.stages)}"
