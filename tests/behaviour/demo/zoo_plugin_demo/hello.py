"""The verb of the demo plugin."""

from __future__ import annotations

from typing import Annotated

import typer


def hello(name: Annotated[str, typer.Option(help="Whom to greet.")] = "zoo") -> int:
    """Print a greeting."""
    print(f"hello {name}")
    return 3 if name == "nobody" else 0
