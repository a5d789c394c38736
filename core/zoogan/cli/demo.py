"""The verb `zoo demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, announce_opening, open_host


def demo(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run folders or gallery:NAME, shown side by side.")
    ],
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port (default: the first free one from 8765 on).")
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than this machine's own need --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(help="A secret of 8 characters or more that browsers must know, for --host.")
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> int:
    """Edit faces in the browser: your photos stay in this computer's memory, and nothing leaves it."""
    registry = open_host(plugin).registry
    announce_opening(*runs)
    from zoogan.demo.serve import check_address, serve_demo
    from zoogan.devices import choose_device
    from zoogan.runs.opening import load

    check_address(host, token)
    where = choose_device(device)
    opened = [load(run, checkpoint=checkpoint, device=where, registry=registry) for run in runs]
    serve_demo(
        opened, names=runs, port=port, host=host, token=token, open_browser=browser, registry=registry,
        notify=typer.echo,
    )  # fmt: skip
    return 0
