"""The public API: every name resolves and is defined once and documented; plugins import only public names."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted([*(ROOT / "plugins").rglob("*.py"), *(ROOT / "tests" / "behaviour" / "demo").rglob("*.py")])
TORCH_FREE = {
    "zoogan.plugins": None, "zoogan.config": None,
    "zoogan.layers": "Config$", "zoogan.losses": "Config$", "zoogan.conditions": "Config$",
    "zoogan.games": "(Config|Weights|Optimizers|Cadence|OptimizerSlot)$", "zoogan.editors": "Config$",
    "zoogan.data": "(Data|LabelSet)$", "zoogan.training": "(Config|Stage)$",
}  # fmt: skip
"""Packages of which plugins import names before torch is needed, and a pattern of these names; None = all."""


def load_builder() -> ModuleType:
    """Import docs/build_api.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("build_api", ROOT / "docs" / "build_api.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILDER = load_builder()
EXPORTS: dict[str, list[str]] = {package: list(BUILDER.read_exports(package)) for package in BUILDER.PACKAGES}


@pytest.mark.parametrize("package", EXPORTS)
def test_public_names_resolve_and_are_declared(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(EXPORTS[package])
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) - {"__version__"} <= set(dir(module))


def test_unknown_name_is_an_attribute_error() -> None:
    import zoogan

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = zoogan.no_such_name


def test_public_name_is_exported_by_one_package() -> None:
    """Only the top level repeats names, as the same objects."""
    owners: dict[str, list[str]] = {}
    for package, names in EXPORTS.items():
        for name in names:
            owners.setdefault(name, []).append(package)
    for name, packages in owners.items():
        assert len([package for package in packages if package != "zoogan"]) <= 1, f"{name}: {packages}"
        objects = [getattr(importlib.import_module(package), name) for package in packages]
        assert all(value is objects[0] for value in objects), name


@pytest.mark.slow
def test_public_class_is_defined_once_in_the_sources() -> None:
    public = {name for names in EXPORTS.values() for name in names}
    files: dict[str, list[str]] = {}
    for path in [*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name in public:
                files.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in files.items() if len(paths) > 1} == {}


@pytest.mark.slow
def test_torch_free_names_import_no_torch() -> None:
    lines = ["import sys, zoogan", "zoogan.ConfigError, zoogan.API_VERSION, zoogan.list_methods()"]
    for package, pattern in TORCH_FREE.items():
        names = [name for name in EXPORTS[package] if pattern is None or re.search(pattern, name)]
        assert names
        lines.append(f"from {package} import {', '.join(names)}")
    lines.append("sys.exit(', '.join({'torch', 'torchvision', 'accelerate'} & set(sys.modules)) or None)")
    result = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def iterate_imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, module and name of everything that a file imports from zoogan, import strings included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "zoogan":
            yield from ((node.lineno, str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names if alias.name.split(".")[0] == "zoogan")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"(zoogan(?:\.\w+)*):(\w*)", node.value)
            if match:
                yield node.lineno, match[1], match[2]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugin_imports_public_names_only(path: Path) -> None:
    private = [
        f"line {line}: {name or module} of {module}"
        for line, module, name in iterate_imports(path)
        if name not in EXPORTS.get(module, ())
    ]
    assert private == []


@pytest.mark.slow
def test_api_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert page == BUILDER.build_api(), "run python docs/build_api.py"
    for package, names in EXPORTS.items():
        section = page.split(f"## {package}\n")[1].split("\n## ")[0]
        assert sorted(re.findall(r"(?m)^- `(\w+)`: ", section)) == sorted(names)
