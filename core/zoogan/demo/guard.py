"""Keeps strangers out: foreign pages, foreign host names, requests without the token, and large bodies."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs, quote, unquote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "zoogan-demo"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SIGN_IN = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>zoogan demo</title><form><p><label>Token of this demo, printed where it was started<br>
<input type="password" name="token" autocomplete="off" autofocus></label> <button>Open</button></form></html>"""


class Guard:
    """Checks each request before the app sees it.

    Args:
        app: The app.
        hosts: Host names under which the demo may be reached; None = any, which asks for a token.
        token: What requests must know, as cookie, `Authorization: Bearer`, or once as `/?token=`; None = nothing.
        limit: Bytes of a request's body.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] | None, token: str | None, limit: int) -> None:
        self.app, self.hosts, self.token, self.limit = app, hosts, token, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        headers = Headers(scope=scope)
        refusal = self.check_origin(headers) or self.check_token(scope, headers)
        if refusal is None and (large := self.check_length(headers)) is not None:
            refusal = large
            await drain(receive, 4 * self.limit)  # a browser that is still sending would see a broken connection
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)

    def check_origin(self, headers: Headers) -> Response | None:
        """Refuse foreign host names (DNS rebinding), and requests of foreign pages."""
        host = headers.get("host", "")
        if self.hosts is not None and split_host(host) not in self.hosts:
            return refuse(403, f"this demo is not reached under the name {host!r}")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return refuse(403, f"this demo takes no requests of the page {origin!r}")
        return None

    def check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuse requests without the token; one with `?token=` gets a cookie and the page."""
        if not self.token:
            return None
        given = [headers.get("authorization", "").removeprefix("Bearer "), read_cookie(headers)]
        if any(self.is_token(word) for word in given):
            return None
        is_page = scope["path"] == "/" and scope["method"] == "GET"
        words = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        if is_page and words and self.is_token(words[0]):
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, quote(self.token), httponly=True, samesite="strict")
            return response
        if is_page:
            return HTMLResponse(SIGN_IN, 401)
        return refuse(401, "this demo asks for its token: open the address that was printed where it was started")

    def is_token(self, word: str) -> bool:
        """Compare a word with the token, in a time that tells nothing about it."""
        assert self.token
        return hmac.compare_digest(word.encode(), self.token.encode())

    def check_length(self, headers: Headers) -> Response | None:
        """Refuse a body that says it is too large."""
        length = headers.get("content-length", "0")
        return make_too_large(self.limit) if not length.isdecimal() or int(length) > self.limit else None


def split_host(host: str) -> str:
    """Return the name of a `Host` header without its port; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def read_cookie(headers: Headers) -> str:
    """Read the token of the cookie; empty if there is none."""
    return unquote(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))


async def drain(receive: Receive, limit: int) -> None:
    """Read and drop a body, up to a limit of bytes."""
    while limit > 0:
        message = await receive()
        limit -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


def refuse(status: int, reason: str) -> Response:
    """Make an answer that says why a request is refused."""
    return JSONResponse({"error": reason}, status)


def make_too_large(limit: int) -> Response:
    """Make the answer to a body that is too large."""
    return refuse(413, f"this is more than {limit // 2**20} MB, the most that the demo takes; make the picture smaller")
