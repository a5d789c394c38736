"""Serves a demo until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from urllib.parse import quote

import uvicorn

from zoogan.config.registry import Registry
from zoogan.demo.app import create_app
from zoogan.demo.guard import LOOPBACK
from zoogan.errors import ConfigError
from zoogan.runs.loaded import LoadedRun

PORT = 8765
TRIED_PORTS = 20
TOKEN_LENGTH = 8  # characters, at least


def serve_demo(
    runs: LoadedRun | Sequence[LoadedRun],
    *,
    names: Sequence[str] | None = None,
    port: int | None = None,
    host: str = LOOPBACK[0],
    token: str | None = None,
    open_browser: bool = True,
    registry: Registry | None = None,
    notify: Callable[[str], None] = print,
) -> None:
    """Serve the web editor of runs until Ctrl-C.

    Args:
        runs: Opened runs, which are shown side by side.
        names: What names each run in commands; None = their folders.
        port: The port, 0 = any free one; None = the first free one from 8765 on.
        host: The address to listen at. Others than those of this machine alone ask for a token.
        token: What browsers must know, 8 characters or more; None = nothing.
        open_browser: Open the page in a browser, on machines that have a screen.
        registry: Methods and components; None = those of all installed plugins.
        notify: Called with each line for the user.

    Raises:
        ConfigError: The address needs a token, the token is too short, or the port cannot be used.
    """
    check_address(host, token)
    with open_socket(host, port) as listener:
        hosts = choose_host_names(host)
        app = create_app(runs, names=names, token=token, hosts=hosts, registry=registry, notify=notify)
        address = format_address(listener, host, token)
        notify(f"demo: {address} (Ctrl-C ends it)")
        if not is_loopback(host):
            notify("anybody who can reach this machine and knows the token can use it; the connection is not encrypted")
        if open_browser and has_screen():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        config = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            app.state.demo.turns.is_closed = True  # stops a search that is under way


def check_address(host: str, token: str | None) -> None:
    """Check that a demo which other machines can reach has a token.

    Raises:
        ConfigError: It has none, or one that is too short.
    """
    if token is not None and len(token) < TOKEN_LENGTH:
        raise ConfigError(f"--token: {len(token)} characters are too few; give {TOKEN_LENGTH} or more")
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host}: other machines could use the demo; give a --token of {TOKEN_LENGTH} characters or more, "
            "which their browsers must know"
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def choose_host_names(host: str) -> tuple[str, ...] | None:
    """Choose the names under which the demo may be reached; None = any, for addresses that stand for all."""
    try:
        is_any = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_any = False
    return None if is_any else tuple(dict.fromkeys((*LOOPBACK, host.lower())))


def open_socket(host: str, port: int | None) -> socket.socket:
    """Listen at a port.

    Raises:
        ConfigError: It is taken or may not be used, or the address is none of this machine's.
    """
    ports = range(PORT, PORT + TRIED_PORTS) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in ports:
        try:
            return socket.create_server((host, number), family=family, backlog=128)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(f"--port {port}: another program uses it; leave it out, or name another") from error
            raise ConfigError(
                f"--host {host}, port {number}: cannot listen there ({error.strerror or error})"
            ) from error
    raise ConfigError(f"all ports from {ports[0]} to {ports[-1]} are taken; name another with --port")


def format_address(listener: socket.socket, host: str, token: str | None) -> str:
    """Format the address of the page, with the token where there is one."""
    name = socket.gethostname() if choose_host_names(host) is None else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listener.getsockname()[1]}/{'' if token is None else f'?token={quote(token)}'}"


def has_screen() -> bool:
    """Return whether this machine can show a browser; elsewhere a browser in the terminal would take it over."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
