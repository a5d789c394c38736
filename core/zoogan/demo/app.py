"""The web app of a demo: one page, and the requests that it makes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zoogan import __version__
from zoogan.config.registry import Registry
from zoogan.demo.faces import Face, FaceStore, read_uploaded_photo, resize_for_runs
from zoogan.demo.guard import LOOPBACK, Guard
from zoogan.demo.start import make_start_faces
from zoogan.demo.studio import Studio
from zoogan.demo.turns import SupersededError, Turns
from zoogan.demo.uploads import UPLOAD_BYTES, clean_name, encode_png, open_picture
from zoogan.demo.wishes import Seed, Wish, format_edit_command, name_layout
from zoogan.errors import ConfigError, ZooganError
from zoogan.pictures.box import parse_box
from zoogan.plugins.host import get_zoo
from zoogan.runs.layouts import encode_layout
from zoogan.runs.loaded import LoadedRun

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/controls.js": ("controls.js", "text/javascript"),
    "/box.js": ("box.js", "text/javascript"),
}


class MakeFace(BaseModel):
    """A request for a face from a seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: int = Field(0, ge=0)
    seed: Seed
    truncation: float | None = Field(None, ge=0, le=1)


def create_app(
    runs: LoadedRun | Sequence[LoadedRun],
    *,
    names: Sequence[str] | None = None,
    token: str | None = None,
    hosts: Sequence[str] | None = LOOPBACK,
    registry: Registry | None = None,
    notify: Callable[[str], None] = lambda note: None,
) -> Starlette:
    """Make the web app of a demo, for any ASGI server.

    Photos stay in memory, the newest 64 of them. One request at a time uses the networks.

    Args:
        runs: Opened runs, which are shown side by side.
        names: What names each run in commands; None = their folders.
        token: What a browser must know to use the app; None = nothing.
        hosts: Host names under which the app may be reached; None = any, which asks for a token.
        registry: Methods and components; None = those of all installed plugins.
        notify: Called with one sentence where the faces of a run's data cannot be read.

    Raises:
        ConfigError: There is no run, the number of names is another, or any host may be used without a token.
    """
    runs = [runs] if isinstance(runs, LoadedRun) else list(runs)
    labels = [str(run.path or run.config.method) for run in runs] if names is None else list(names)
    if not runs or len(labels) != len(runs):
        raise ConfigError(f"a demo needs one run or more, and a name for each; got {len(runs)} and {len(labels)}")
    if hosts is None and not token:
        raise ConfigError("a demo that may be reached under any host name needs a token: pass token=, or hosts=")
    demo = Demo([Studio(run, number, name) for number, (run, name) in enumerate(zip(runs, labels))])
    for face in make_start_faces(demo.studios, registry or get_zoo().registry, notify):
        demo.faces.add(face, pinned=True)
    app = Starlette(
        routes=[
            *(Route(path, send_page_file) for path in PAGE),
            Route("/favicon.ico", lambda request: Response(status_code=204)),
            Route("/api/about", demo.about),
            Route("/api/progress", demo.show_progress),
            Route("/api/photos", demo.add_photo, methods=["POST"]),
            Route("/api/seeds", demo.add_seed, methods=["POST"]),
            Route("/api/edit", demo.edit, methods=["POST"]),
            Route("/api/whole", demo.edit_whole, methods=["POST"]),
            Route("/api/faces/{face}.png", demo.send_picture),
            Route("/api/faces/{face}/runs/{run:int}", demo.open_face),
            Route("/api/faces/{face}/runs/{run:int}/layout.png", demo.send_layout),
            Route("/api/faces/{face}/runs/{run:int}/layout", demo.add_layout, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, None if hosts is None else tuple(hosts), token, UPLOAD_BYTES)],
        exception_handlers={
            ZooganError: answer_error,
            ValidationError: answer_error,
            SupersededError: answer_error,
            HTTPException: answer_error,
            Exception: answer_error,
        },
    )
    app.state.demo = demo
    return app


async def send_page_file(request: Request) -> Response:
    """Send a file of the page."""
    name, kind = PAGE[request.url.path]
    return Response(files("zoogan.demo").joinpath("page", name).read_bytes(), media_type=kind)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer with the message of an error."""
    if isinstance(error, SupersededError):
        return JSONResponse({"error": "a newer request took its place", "superseded": True}, 409)
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code)
    if isinstance(error, ValidationError):
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return JSONResponse({"error": "\n".join(lines)}, 400)
    if isinstance(error, ZooganError):
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 500)


async def read_body(request: Request) -> bytes:
    """Read the body of a request.

    Raises:
        HTTPException: It is too large, though it did not say so.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > UPLOAD_BYTES:
            raise HTTPException(413, f"this is more than {UPLOAD_BYTES // 2**20} MB; make the picture smaller")
    return bytes(content)


def make_data_url(png: bytes) -> str:
    """Make the address of a picture that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


class Demo:
    """The runs and faces of an app, and its answers.

    Args:
        studios: The runs.
    """

    def __init__(self, studios: Sequence[Studio]) -> None:
        self.studios, self.faces, self.turns = list(studios), FaceStore(), Turns()

    def get_studio(self, number: int) -> Studio:
        """Return a run.

        Raises:
            HTTPException: There is no such run.
        """
        if not 0 <= number < len(self.studios):
            raise HTTPException(404, f"there is no run {number}; this demo has {len(self.studios)}")
        return self.studios[number]

    def describe_face(self, face: Face) -> dict[str, Any]:
        """Describe a face for the page."""
        return {"key": face.key, "name": face.name, "kind": face.kind, "layout": name_layout(face)}

    async def about(self, request: Request) -> Response:
        """Tell what the runs can do, and which faces there are."""
        runs = [
            {"name": studio.name, "label": Path(studio.name).name, **studio.description.model_dump(mode="json")}
            for studio in self.studios
        ]
        faces = [self.describe_face(face) for face in self.faces.pinned.values()]
        about = {"version": __version__, "runs": runs, "faces": faces, "limit": UPLOAD_BYTES}
        return JSONResponse(about)

    async def show_progress(self, request: Request) -> Response:
        """Tell how far searches for latents are, by run."""
        return JSONResponse({"search": [studio.search for studio in self.studios]})

    # ---- faces ----

    async def add_photo(self, request: Request) -> Response:
        """Take a photo, and a box `x,y,w,h` if the person chose one."""
        content, name = await read_body(request), clean_name(request.headers.get("x-file-name"), "photo.png")
        box = request.headers.get("x-box")

        def read(is_superseded: Callable[[], bool]) -> dict[str, Any]:
            chosen = None if box is None else parse_box(box)
            face, notes = read_uploaded_photo(content, name, [studio.run.facts for studio in self.studios], chosen)
            first = face.boxes[0]
            square = [first.left, first.top, first.width, first.height]
            return self.describe_face(self.faces.add(face)) | {"notes": notes, "box": square}

        return JSONResponse(await self.turns.run(f"photo {id(content)}", read))

    async def add_seed(self, request: Request) -> Response:
        """Make a face."""
        wish = MakeFace.model_validate_json(await read_body(request))
        studio = self.get_studio(wish.run)

        def make(is_superseded: Callable[[], bool]) -> dict[str, Any]:
            picture = studio.make_face(wish.seed, wish.truncation)
            crops = resize_for_runs(picture, [one.run.facts for one in self.studios])
            name = f"seed-{wish.seed}.png"
            return self.describe_face(self.faces.add(Face(name, crops, seed=wish.seed, truncation=wish.truncation)))

        return JSONResponse(await self.turns.run(f"seed {id(wish)}", make))

    async def add_layout(self, request: Request) -> Response:
        """Take the map of a face's parts."""
        content, name = await read_body(request), clean_name(request.headers.get("x-file-name"), "layout.png")
        face, studio = self.faces.get(request.path_params["face"]), self.get_studio(request.path_params["run"])

        def read(is_superseded: Callable[[], bool]) -> dict[str, Any]:
            face.layouts[studio.number] = studio.run.prepare_layouts(open_picture(content, name))
            face.states.pop(studio.number, None)
            return self.describe_face(face)

        return JSONResponse(await self.turns.run(f"layout {id(content)}", read))

    async def send_picture(self, request: Request) -> Response:
        """Send the picture of a face, as the run with the largest pictures sees it."""
        crops = self.faces.get(request.path_params["face"]).crops
        return Response(encode_png(max(crops, key=lambda crop: crop.shape[-1])), media_type="image/png")

    async def open_face(self, request: Request) -> Response:
        """Show a face as a run sees it before an edit."""
        face, studio = self.faces.get(request.path_params["face"]), self.get_studio(request.path_params["run"])

        def read(is_superseded: Callable[[], bool]) -> dict[str, Any]:
            state = studio.open_face(face, is_superseded)
            return {
                "before": make_data_url(encode_png(studio.show_face(state))),
                "own": state.own,
                "has_layout": state.layout is not None,
            }

        return JSONResponse(await self.turns.run(self.name_lane(request, studio), read))

    async def send_layout(self, request: Request) -> Response:
        """Send the map of a face's parts, as `zoo edit --layout` takes it."""
        face, studio = self.faces.get(request.path_params["face"]), self.get_studio(request.path_params["run"])
        layout = studio.find_layout(face)
        if layout is None:
            raise HTTPException(404, f"the map of the parts of {face.name} is unknown")
        png = encode_layout(layout[0].argmax(0), len(studio.run.facts.parts))
        return Response(png, media_type="image/png")

    # ---- edits ----

    def name_lane(self, request: Request, studio: Studio) -> str:
        """Name the requests of which only the newest counts: those of one page and one run."""
        return f"{request.headers.get('x-page', '')[:40]}/{studio.number}"

    async def edit(self, request: Request) -> Response:
        """Make an edit."""
        wish = Wish.model_validate_json(await read_body(request))
        studio, started = self.get_studio(wish.run), time.perf_counter()
        command = format_edit_command(studio.name, studio.description, wish, self.faces.get(wish.face), self.faces.get)

        def make(is_superseded: Callable[[], bool]) -> dict[str, Any]:
            _, edit = studio.edit(wish, self.faces.get, is_superseded)
            pictures = {name: make_data_url(encode_png(image)) for name, image in studio.show_edit(edit).items()}
            return {"pictures": pictures, "notes": list(edit.notes)}

        answer = await self.turns.run(self.name_lane(request, studio), make)
        seconds = round(time.perf_counter() - started, 4)
        return JSONResponse(answer | {"command": command, "seconds": seconds})

    async def edit_whole(self, request: Request) -> Response:
        """Make an edit, and send the whole photo with it."""
        wish = Wish.model_validate_json(await read_body(request))
        studio = self.get_studio(wish.run)

        def make(is_superseded: Callable[[], bool]) -> bytes:
            return encode_png(studio.edit_whole(wish, self.faces.get, is_superseded))

        return Response(await self.turns.run(f"whole {id(wish)}", make), media_type="image/png")
