"""A Hugging Face Hub of one process: it makes repositories, takes commits (regular and LFS files) and serves files."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"


class FakeHub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: Content of the files of each repository (spaces as `spaces/owner/name`), by path.
        objects: Uploaded LFS objects by hash.
        requests: Lines such as `GET /api/models/owner/name`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve_hub() -> Iterator[FakeHub]:
    """Serve in a thread."""
    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, code: str, status: int = 404) -> None:
        self.answer({"error": code}, status, X_Error_Code=code)

    def read_body(self) -> bytes:
        if length := int(self.headers.get("Content-Length") or 0):
            return self.rfile.read(length)
        body = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return body

    def handle_request(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append(f"{self.command} /{path}")
        body = self.read_body() if self.command in ("POST", "PUT") else b""
        is_write = self.command in ("POST", "PUT") and not path.startswith("lfs/")
        if is_write and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse("Unauthorized", 401)
        parts = path.split("/")
        if path == "api/repos/create":
            return self.create(json.loads(body))
        if path == "api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if parts[0] == "lfs":
            self.server.objects[parts[1]] = body
            return self.answer({})
        if path.endswith(".git/info/lfs/objects/batch"):
            uploads = [
                {**one, "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": uploads}, Content_Type="application/vnd.git-lfs+json")
        if parts[0] == "api":
            return self.answer_api("spaces/" if parts[1] == "spaces" else "", parts[2:], body)
        if "resolve" in parts:
            return self.serve_file(parts)
        self.refuse("EntryNotFound")

    do_GET = do_POST = do_PUT = do_HEAD = handle_request  # noqa: N815

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        prefix = "spaces/" if wanted.get("type") == "space" else ""
        self.server.repositories.setdefault(prefix + name, {})
        self.answer({"url": f"{self.server.address}/{prefix}{name}"})

    def answer_api(self, prefix: str, parts: list[str], body: bytes) -> None:
        name, verb = prefix + "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""
        files = self.server.repositories.get(name)
        if files is None:
            return self.refuse("RepoNotFound")
        if verb == "preupload":
            return self.answer({"files": [
                {"path": one["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular"}
                for one in json.loads(body)["files"]
            ]})  # fmt: skip
        if verb == "commit":
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.server.objects[value["oid"]]
                elif line["key"] == "deletedFile":
                    files.pop(value["path"], None)
            url = f"{self.server.address}/{name}/commit/{hash_files(files)}"
            return self.answer({"success": True, "commitOid": hash_files(files), "commitUrl": url})
        if verb == "revision" and parts[3] not in ("main", hash_files(files)):
            return self.refuse("RevisionNotFound")
        if verb == "tree":
            return self.answer([
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files.items()
            ])  # fmt: skip
        siblings = [{"rfilename": path} for path in files]
        self.answer({"id": name, "modelId": name, "sha": hash_files(files), "private": False, "siblings": siblings})

    def serve_file(self, parts: list[str]) -> None:
        name, path = "/".join(parts[:2]), "/".join(parts[4:])
        data = self.server.repositories.get(name, {}).get(path)
        if data is None:
            return self.refuse("EntryNotFound" if name in self.server.repositories else "RepoNotFound")
        commit, tag = hash_files(self.server.repositories[name]), f'"{hashlib.sha256(data).hexdigest()}"'
        self.answer(data, X_Repo_Commit=commit, ETag=tag, Content_Type="application/octet-stream")


def hash_files(files: dict[str, bytes]) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
