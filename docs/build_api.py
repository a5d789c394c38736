"""Write docs/api.md: every public name with the first sentence of its docstring.

Run `python docs/build_api.py` after a change of the public API. The text is read from the sources, so nothing is
imported.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core"
PACKAGES = (
    "zoogan", "zoogan.plugins", "zoogan.config", "zoogan.interfaces", "zoogan.layers", "zoogan.losses",
    "zoogan.conditions", "zoogan.composition", "zoogan.games", "zoogan.editors", "zoogan.data", "zoogan.pictures",
    "zoogan.importing", "zoogan.training", "zoogan.evaluation", "zoogan.workflows", "zoogan.demo", "zoogan.testing",
)  # fmt: skip
HEAD = """# Public API

Written by `python docs/build_api.py` from the docstrings. Everything that is not listed here is internal and may change
without notice. A plugin imports only from these packages, and every name from the package under which it stands.
"""


def build_api() -> str:
    """Build the text of docs/api.md."""
    sections = [HEAD]
    for package in PACKAGES:
        names = read_exports(package)
        lines = [f"- `{name}`: {describe_name(module, name)}" for name, module in sorted(names.items(), key=sort_key)]
        sections.append(f"## {package}\n\n{get_first_sentence(read_docstring(package))}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(sections)


def sort_key(item: tuple[str, str]) -> str:
    """Sort names without regard to case."""
    return item[0].lower()


def read_exports(package: str) -> dict[str, str]:
    """Return the module of each name that a package exports, from its stub or else its `__init__.py`."""
    folder = CORE / package.replace(".", "/")
    stub = folder / "__init__.pyi"
    path = stub if stub.exists() else folder / "__init__.py"
    exports = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            module = f"{package}.{node.module}" if node.level else str(node.module)
            exports |= {alias.asname or alias.name: module for alias in node.names}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            exports[node.target.id] = package
    return exports


@cache
def find_module(module: str) -> Path:
    """Return the source file of a module."""
    path = CORE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def read_module(module: str) -> tuple[str, ast.Module]:
    """Read and parse the source of a module."""
    source = find_module(module).read_text()
    return source, ast.parse(source)


def read_docstring(module: str) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(read_module(module)[1]) or ""


def describe_name(module: str, name: str) -> str:
    """Return the first sentence about a name: its docstring, or the comment beside or above an assignment.

    Raises:
        ValueError: Nothing describes it.
    """
    source, tree = read_module(module)
    lines, body = source.splitlines(), flatten_try(tree.body)
    for node, following in zip(body, [*body[1:], None]):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return get_first_sentence(ast.get_docstring(node) or "")
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            return describe_name(str(node.module), name)
        if name in get_assigned_names(node):
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                return get_first_sentence(str(following.value.value))
            assert node.end_lineno is not None
            _, _, comment = lines[node.end_lineno - 1].partition("  # ")
            if not comment or comment == "fmt: skip":
                comment = lines[node.lineno - 2].removeprefix("# ") if lines[node.lineno - 2].startswith("# ") else ""
            return get_first_sentence(comment)
    raise ValueError(f"{module} does not define {name}")


def flatten_try(body: list[ast.stmt]) -> list[ast.stmt]:
    """Replace every `try` by the statements that it tries."""
    return [inner for node in body for inner in (node.body if isinstance(node, ast.Try) else [node])]


def get_assigned_names(node: ast.stmt) -> set[str]:
    """Return the names that a statement assigns."""
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {node.target.id} if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else set()


def get_first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, on one line."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph)[0]
    if not sentence:
        raise ValueError("a public name has no description")
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence[0].upper()}{sentence[1:]}."


if __name__ == "__main__":
    (ROOT / "docs" / "api.md").write_text(build_api())
