"""The web app of `zoo demo`: what it answers, what it refuses, and that its edits are those of `zoo edit`."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shlex
import signal
import socket
import struct
import threading
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import zoogan
from support.untrained_runs import make_all_runs, make_untrained_run
from zoogan import ConfigError
from zoogan.cli import main
from zoogan.demo import create_app, serve, serve_demo, studio
from zoogan.demo.faces import Face, FaceStore
from zoogan.demo.uploads import clean_name
from zoogan.pictures.box import Box
from zoogan.pictures.photo import quantize_image

HOST = "http://127.0.0.1:8765"
METHODS = (
    "sagan", "stargan", "stargan-v2", "smile-layout", "smile", "smile-image", "stylegan2", "semantic-stylegan",
    "sd-gan", "sd-gan-joint",
)  # fmt: skip
WISHES: dict[str, dict[str, Any]] = {
    "sagan": {"attributes": {"Eyeglasses": 0.5}, "threshold": 0.5},
    "stargan": {"attributes": {"Blond_Hair": 1}, "strength": 1.5},
    "stargan-v2": {"domain": "Blond_Hair", "seed": 3, "truncation": 0.7},
    "smile-layout": {"attributes": {"Wearing_Hat": 1}, "own": {"Wearing_Hat": 0}, "reference": "other"},
    "smile": {"parts": ["hair", "skin"], "from_seed": 4, "keep_background": True},
    "smile-image": {"parts": ["hair"], "from_seed": 4, "seed": 2},
    "stylegan2": {"attributes": {"Smiling": 1}},
    "semantic-stylegan": {"parts": ["hair"], "donor": "other", "only": "shape"},
    "sd-gan": {"attributes": {"Face_Mask": 1}, "offset": 0.5, "template": 1},
    "sd-gan-joint": {"attributes": {"Face_Mask": 1}},
}
COMMANDS = {
    "sagan": "my runs/sagan face-1.png --attribute Eyeglasses=0.5 --threshold 0.5",
    "stargan": "my runs/stargan face-1.png --attribute Blond_Hair=1 --strength 1.5",
    "stargan-v2": "my runs/stargan-v2 face-1.png --domain Blond_Hair --seed 3 --truncation 0.7",
    "smile-layout": "my runs/smile-layout --layout face-1-layout.png --attribute Wearing_Hat=1 "
    "--reference face-2-layout.png --own Wearing_Hat=0",
    "smile": "my runs/smile face-1.png --part hair --part skin --from-seed 4 --keep-background",
    "smile-image": "my runs/smile-image face-1.png --layout face-1-layout.png --part hair --from-seed 4 --seed 2",
    "stylegan2": "my runs/stylegan2 --seed 0 --attribute Smiling=1",
    "semantic-stylegan": "my runs/semantic-stylegan --seed 0 --part hair --only shape --from-seed 1",
    "sd-gan": "my runs/sd-gan --seed 0 --attribute Face_Mask=1 --offset 0.5 --template 1",
    "sd-gan-joint": "my runs/sd-gan-joint face-1.png --attribute Face_Mask=1",
}
VIEWS = {
    "sagan": {"mask"}, "smile": {"parts"}, "smile-image": {"parts"}, "semantic-stylegan": {"parts"},
    "sd-gan": {"basis", "composite"},
}  # fmt: skip


def make_client(app: Any) -> TestClient:
    return TestClient(app, base_url=HOST, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The app of one tiny run of every method."""
    runs = make_all_runs(METHODS)
    with make_client(create_app(runs, names=[f"my runs/{method}" for method in METHODS])) as client:
        yield client


@pytest.fixture(scope="module")
def about(client: TestClient) -> dict[str, Any]:
    return dict(client.get("/api/about").json())


@pytest.fixture(scope="module")
def keys(about: dict[str, Any]) -> dict[str, str]:
    """The keys of the faces at the start, by name."""
    return {face["name"]: face["key"] for face in about["faces"]}


def read_picture(url: str) -> np.ndarray:
    """Read the pixels of a data address."""
    head, content = url.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def save_bytes(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    output = io.BytesIO()
    picture.save(output, form, **options)
    return output.getvalue()


def make_noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


# ---- what it can do ----


def test_about_describes_runs_and_first_faces(about: dict[str, Any]) -> None:
    assert [run["method"] for run in about["runs"]] == list(METHODS)
    for run, method, made in zip(about["runs"], METHODS, make_all_runs(METHODS)):
        description = json.loads(zoogan.describe_editor(made).model_dump_json())
        assert run == {"name": f"my runs/{method}", "label": method, **description}
    assert [face["kind"] for face in about["faces"]].count("seed") == 8
    assert {"face-1.png", "seed-0.png"} <= {face["name"] for face in about["faces"]}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_edits(client: TestClient, about: dict[str, Any], keys: dict[str, str], method: str) -> None:
    number = METHODS.index(method)
    is_maker = about["runs"][number]["edits"] == "latents"
    first, second = ("seed-0.png", "seed-1.png") if is_maker else ("face-1.png", "face-2.png")
    face = client.get(f"/api/faces/{keys[first]}/runs/{number}").json()
    own = {"sagan", "stargan", "smile-layout", "smile", "stylegan2", "sd-gan", "sd-gan-joint"}
    assert bool(face["own"]) == (method in own) and face["has_layout"] == (method in ("smile-layout", "smile-image"))
    wish = {name: keys[second] if value == "other" else value for name, value in WISHES[method].items()}
    answer = client.post("/api/edit", json={"run": number, "face": keys[first]} | wish)
    assert answer.status_code == 200, answer.text
    pictures = answer.json()["pictures"]
    assert set(pictures) == {"edited"} | VIEWS.get(method, set())
    before, size = read_picture(face["before"]), about["runs"][number]["image_size"]
    for url in pictures.values():
        assert read_picture(url).shape == (size, size, 3)
    assert not np.array_equal(read_picture(pictures["edited"]), before)
    words = shlex.split(answer.json()["command"])
    assert words[:2] == ["zoo", "edit"] and words[2] == f"my runs/{method}"
    assert " ".join(words[2:]) == COMMANDS[method]


def test_edit_in_the_style_of_a_face_is_that_of_python(client: TestClient, keys: dict[str, str]) -> None:
    number, run = METHODS.index("stargan-v2"), make_untrained_run("stargan-v2")
    faces = [client.get(f"/api/faces/{keys[name]}/runs/{number}").json() for name in ("face-1.png", "face-3.png")]
    image, other = (Image.fromarray(read_picture(face["before"])) for face in faces)
    expected = run.edit(image, domain="Brown_Hair", reference=other, strength=2).image[0]
    wish = {"domain": "Brown_Hair", "reference": keys["face-3.png"], "strength": 2}
    answer = client.post("/api/edit", json={"run": number, "face": keys["face-1.png"]} | wish).json()
    assert np.array_equal(read_picture(answer["pictures"]["edited"]), quantize_image(expected).permute(1, 2, 0).numpy())


def test_command_makes_the_same_picture(
    sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name, photo = "it's my photo.png", save_bytes(make_noise(32, 32))
    (tmp_path / name).write_bytes(photo)
    with make_client(create_app(zoogan.load(sagan_run))) as client:
        head = {"X-File-Name": "it%27s%20my%20photo.png"}
        face = client.post("/api/photos", content=photo, headers=head).json()
        wish = {"face": face["key"], "attributes": {"Eyeglasses": 1}, "strength": 1.25, "threshold": 0.5}
        answer = client.post("/api/edit", json=wish).json()
    assert main([*shlex.split(answer["command"])[1:], "--device", "cpu"]) == 0
    saved = np.asarray(Image.open(capsys.readouterr().out.splitlines()[0]))
    assert np.array_equal(saved, read_picture(answer["pictures"]["edited"]))


def test_photo_is_turned_cropped_and_described(client: TestClient, keys: dict[str, str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    photo = make_noise(200, 90).resize((200, 90))
    content = save_bytes(photo, "JPEG", exif=exif, quality=95)
    face = client.post("/api/photos", content=content, headers={"X-File-Name": "..%2F..%2Fme.jpg"}).json()
    text = face["notes"][0]
    assert face["name"] == "me.jpg" and ("90 x 200, far from square" in text or text.startswith("no face found"))
    before = read_picture(client.get(f"/api/faces/{face['key']}/runs/0").json()["before"])
    run = make_untrained_run("sagan")
    expected = run.prepare_images(Image.open(io.BytesIO(content)))[0].add(1).mul(127.5).round()
    assert np.array_equal(before, expected.permute(1, 2, 0).byte().numpy())
    assert client.get(f"/api/faces/{face['key']}.png").headers["content-type"] == "image/png"
    assert set(keys) >= {"face-1.png"}  # those of the start stay


def test_face_that_is_found_is_edited_in_its_place(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    square, note = Box(60, 4, 40, 40), "2 faces found, editing the largest"
    monkeypatch.setattr(
        "zoogan.demo.faces.choose_boxes", lambda photo, facts, boxes, chooser: (boxes or [square], [note])
    )
    pixels = np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    answer = client.post("/api/photos", content=buffer.getvalue()).json()
    assert answer["notes"] == [note]
    wish = {"run": 0, "face": answer["key"], "attributes": {"Eyeglasses": 1}}
    whole = np.asarray(Image.open(io.BytesIO(client.post("/api/whole", json=wish).content)))
    rows, columns = (whole != pixels).any(2).nonzero()
    assert len(rows) > 0 and rows.min() >= 4 and rows.max() < 44 and columns.min() >= 60 and columns.max() < 100


def test_edit_is_laid_over_the_whole_photo(client: TestClient, keys: dict[str, str]) -> None:
    photo = make_noise(120, 90)
    face = client.post("/api/photos", content=save_bytes(photo)).json()
    wish = {"run": METHODS.index("stargan"), "face": face["key"], "attributes": {"Blond_Hair": 1}}
    same, changed = (
        np.asarray(Image.open(io.BytesIO(client.post("/api/whole", json=wish | {"strength": strength}).content)))
        for strength in (0, 1)
    )
    assert np.array_equal(same, np.asarray(photo)) and changed.shape == same.shape
    is_changed = (changed != same).any((0, 2))
    assert not is_changed[:15].any() and not is_changed[-15:].any() and is_changed[15:-15].mean() > 0.5
    refused = client.post("/api/whole", json=wish | {"face": keys["face-1.png"]})
    assert refused.status_code == 400 and "no whole photo" in refused.json()["error"]


def test_photo_is_searched_among_the_faces_of_a_run(
    client: TestClient, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "SEARCH_ITERATIONS", 2)
    number = METHODS.index("stylegan2")
    answer = client.post("/api/edit", json={"run": number, "face": keys["face-1.png"], "attributes": {"Smiling": 1}})
    assert answer.status_code == 200 and answer.json()["command"].endswith("face-1.png --attribute Smiling=1")
    assert client.get("/api/progress").json()["search"] == [None] * len(METHODS)


def test_faces_are_made_from_seeds(client: TestClient) -> None:
    for method in ("stylegan2", "smile", "sd-gan-joint"):
        wish = {"run": METHODS.index(method), "seed": 5, "truncation": 0.5}
        face = client.post("/api/seeds", json=wish).json()
        assert (face["name"], face["kind"]) == ("seed-5.png", "seed")
        picture = np.asarray(Image.open(io.BytesIO(client.get(f"/api/faces/{face['key']}.png").content)))
        assert np.ptp(picture) > 0
    refused = client.post("/api/seeds", json={"run": 0, "seed": 5})
    assert refused.status_code == 400 and "makes no faces" in refused.json()["error"]


def test_maps_can_be_saved_and_given(client: TestClient, keys: dict[str, str]) -> None:
    number, smile = METHODS.index("smile-image"), METHODS.index("smile")
    png = client.get(f"/api/faces/{keys['face-2.png']}/runs/{number}/layout.png").content
    photo = client.post("/api/photos", content=save_bytes(make_noise(64, 64))).json()
    wish = {"run": number, "face": photo["key"], "parts": ["hair"], "from_seed": 1}
    assert "give it too" in client.post("/api/edit", json=wish).json()["error"]
    given = client.post(f"/api/faces/{photo['key']}/runs/{number}/layout", content=png)
    assert given.status_code == 200, given.text
    assert client.post("/api/edit", json=wish).status_code == 200
    assert client.get(f"/api/faces/{photo['key']}/runs/{number}/layout.png").content == png
    assert client.get(f"/api/faces/{photo['key']}/runs/{smile}/layout.png").status_code == 404
    wrong = client.post(f"/api/faces/{photo['key']}/runs/{number}/layout", content=save_bytes(make_noise(8, 8)))
    assert wrong.status_code == 400 and "no colour of a part" in wrong.json()["error"]


# ---- what it refuses ----


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"Host": "evil.example:8765"}, 403, "not reached under the name"),
        ({"Host": "127.0.0.1.evil.example"}, 403, "not reached under the name"),
        ({"Host": "[::bad"}, 403, "not reached under the name"),
        ({"Origin": "http://evil.example"}, 403, "takes no requests of the page"),
        ({"Origin": "http://127.0.0.1:3000"}, 403, "takes no requests of the page"),
        ({"Origin": "null"}, 403, "takes no requests of the page"),
        ({"Origin": HOST}, 200, ""),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200, ""),
        ({"Host": "[::1]:8765"}, 200, ""),
    ],
)
def test_foreign_hosts_and_pages_are_refused(
    client: TestClient, headers: dict[str, str], status: int, message: str
) -> None:
    answer = client.get("/api/about", headers=headers)
    assert answer.status_code == status and message in answer.text
    if status == 403:
        assert client.post("/api/photos", content=b"", headers=headers).status_code == 403


def test_answers_forbid_framing_sniffing_and_foreign_content(client: TestClient) -> None:
    for path in ("/", "/page.js", "/controls.js", "/page.css", "/api/about"):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        if path.startswith("/api"):
            continue
        assert not [word for word in ("http://", "https://", "//cdn") if word in answer.text.replace("www.w3.org", "")
                    .replace("http:///2000/svg", "")]  # fmt: skip
    assert client.get("/favicon.ico").status_code == 204
    assert client.get("/../pyproject.toml").status_code == client.get("/page.html").status_code == 404


def test_token_is_asked_for(client: TestClient) -> None:
    token = "correct horse/+?&"
    with make_client(create_app(make_untrained_run("sagan"), token=token, hosts=None)) as guarded:
        guarded.follow_redirects = False
        assert guarded.get("/").status_code == 401 and "password" in guarded.get("/").text
        refused = guarded.get("/api/about", headers={"Host": "a.example"})
        assert refused.status_code == 401 and "token" in refused.json()["error"]
        for wrong in ("correct horse/+?", "Bearer", "é"):
            headers = {"Authorization": f"Bearer {wrong}".encode()}
            assert guarded.get("/api/about", headers=headers).status_code == 401
        assert guarded.get("/", params={"token": "wrong"}).status_code == 401
        assert guarded.get("/api/about", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        signed = guarded.get("/", params={"token": token})
        assert signed.status_code == 303 and signed.headers["location"] == "/"
        cookie = signed.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert guarded.get("/api/about").status_code == 200  # the client keeps the cookie
    with pytest.raises(ConfigError, match="needs a token"):
        create_app(make_untrained_run("sagan"), hosts=None)


def test_large_bodies_are_refused(client: TestClient) -> None:
    large = bytes(16 * 2**20 + 1)
    told = client.post("/api/photos", content=large)
    untold = client.post("/api/photos", content=(large[k : k + 2**20] for k in range(0, len(large), 2**20)))
    for answer in (told, untold):
        assert answer.status_code == 413 and "16 MB" in answer.json()["error"]
    just = client.post("/api/photos", content=large[:-1])
    assert just.status_code == 400 and "not a picture" in just.json()["error"]


def make_bomb(width: int, height: int) -> bytes:
    """Make a small PNG that unpacks to many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (make_bomb(9000, 9000), "9000 x 9000 pixels are more than 40 million"),
        (make_bomb(60_000, 60_000), "damaged or unreadable|pixels are more than"),
        (b"", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),  # no program runs for a picture
        (save_bytes(make_noise(40, 40))[:900], "damaged or unreadable"),
    ],
)
def test_bombs_and_other_files_are_refused(client: TestClient, content: bytes, message: str) -> None:
    answer = client.post("/api/photos", content=content, headers={"X-File-Name": "me.png"})
    assert answer.status_code == 400 and answer.json()["error"].startswith("me.png: ")
    assert any(part in answer.json()["error"] for part in message.split("|")), answer.text


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"attributes": {"Eyeglases": 1}}, "did you mean 'Eyeglasses'"),
        ({"attributes": {"images": 1}}, "does not know that attribute"),
        ({"attributes": {"Eyeglasses": 7}}, "expected a value from 0 to 1"),
        ({"strength": "NaN"}, "strength"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"run": METHODS.index("stargan-v2"), "reference": "self"}, "which of Black_Hair"),
        ({"run": METHODS.index("stylegan2"), "parts": ["hair"], "from_seed": 1}, "one piece"),
        ({"domain": "male"}, "domain"),
        ({"face": "gone"}, "no longer here"),
        ({"run": 99}, "there is no run 99"),
    ],
)
def test_errors_are_sentences(client: TestClient, keys: dict[str, str], wish: dict[str, Any], message: str) -> None:
    first = keys["seed-0.png" if wish.get("run") == METHODS.index("stylegan2") else "face-1.png"]
    wish = {name: first if value == "self" else value for name, value in wish.items()}
    answer = client.post("/api/edit", json={"face": first} | wish)
    assert answer.status_code in (400, 404) and message in answer.json()["error"]


def test_newest_request_of_a_page_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(make_untrained_run("sagan"))
    demo, entered, release = app.state.demo, threading.Event(), threading.Event()
    edit, numbers = demo.studios[0].edit, []

    def wait(wish: Any, *rest: Any) -> Any:
        numbers.append(wish.strength)
        entered.set()
        assert release.wait(30)
        return edit(wish, *rest)

    monkeypatch.setattr(demo.studios[0], "edit", wait)
    key = next(iter(demo.faces.pinned))

    async def ask() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:

            def post(page: str, strength: float) -> Any:
                wish = {"face": key, "attributes": {"Eyeglasses": 1}, "strength": strength}
                return asyncio.ensure_future(client.post("/api/edit", json=wish, headers={"X-Page": page}))

            requests = [post("one", 0.1)]
            while not entered.is_set():
                await asyncio.sleep(0.01)
            requests += [post("one", 0.2), post("two", 0.3), post("one", 0.4)]
            await asyncio.sleep(0.1)
            release.set()
            return list(await asyncio.gather(*requests))

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200, 409, 200, 200]
    assert answers[1].json() == {"error": "a newer request took its place", "superseded": True}
    assert numbers == [0.1, 0.3, 0.4]


def test_search_stops_for_a_newer_face(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_untrained_run("stylegan2")
    one = studio.Studio(run, 0, "run")
    face = Face("me.png", [make_untrained_run("stylegan2").sample(seed=3).image[0].add(1).mul(127).byte()])
    with pytest.raises(studio.SupersededError):
        one.open_face(face, lambda: True)
    assert not face.states and one.search is None


def test_faces_are_kept_within_limits() -> None:
    store = FaceStore(limit=3, limit_bytes=100)
    pinned = store.add(Face("first.png", []), pinned=True)
    faces = [store.add(Face(f"{k}.png", [], content=bytes(10))) for k in range(3)]
    store.get(faces[0].key)  # makes it the newest
    store.add(Face("seed.png", [], seed=1))
    assert store.get(faces[0].key) and store.get(pinned.key)
    with pytest.raises(ConfigError, match="no longer here"):
        store.get(faces[1].key)
    store.add(Face("large.png", [], content=bytes(95)))
    assert store.count_bytes() == 95 and FaceStore().limit == 64


def test_names_of_files_are_plain() -> None:
    assert clean_name("a%2Fb%5Cc%0A%1B.png", "photo.png") == "c.png"
    assert clean_name(None, "photo.png") == clean_name("%2F", "photo.png") == "photo.png"
    assert len(clean_name("x" * 500, "photo.png")) <= 80


# ---- the verb ----


def test_verb_serves_until_ctrl_c(sagan_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    answers: list[bytes] = []
    opened: list[str] = []
    monkeypatch.setattr(serve.webbrowser, "open", opened.append)
    monkeypatch.setattr(serve, "has_screen", lambda: True)

    def visit(line: str, err: bool = False) -> None:
        if line.startswith("demo: "):
            threading.Thread(target=read, args=(line.split()[1],), daemon=True).start()

    def read(address: str) -> None:
        try:
            answers.append(urllib.request.urlopen(address + "api/about", timeout=60).read())
        finally:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("typer.echo", visit)
    assert main(["demo", str(sagan_run), "--port", "0", "--device", "cpu"]) == 0
    assert json.loads(answers[0])["runs"][0]["name"] == str(sagan_run)
    assert len(opened) == 1 and opened[0].startswith("http://127.0.0.1:")


def test_taken_port_is_skipped_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: another program uses it"):
            serve.open_socket("127.0.0.1", port)
        monkeypatch.setattr(serve, "PORT", port)
        with serve.open_socket("127.0.0.1", None) as other:
            assert port < other.getsockname()[1] < port + serve.TRIED_PORTS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "give a --token of 8 characters or more"),
        (["--host", "192.0.2.1", "--token", "short"], "5 characters are too few"),
        (["--host", "192.0.2.1", "--token", "long enough"], ""),  # it goes on, to a folder that is no run
    ],
)
def test_verb_refuses_open_addresses(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["demo", str(tmp_path), "--no-open", "--device", "cpu", *options]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and "\nzoo demo: " in error
    assert (message in error) if message else ("--token" not in error and str(tmp_path) in error)


def test_addresses_that_others_reach_need_a_token() -> None:
    with pytest.raises(ConfigError, match="--token"):
        serve_demo(make_untrained_run("sagan"), host="0.0.0.0")
    assert [serve.is_loopback(host) for host in ("localhost", "127.0.0.2", "::1", "10.0.0.1", "name")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert serve.choose_host_names("0.0.0.0") is None and serve.choose_host_names("::") is None
    assert "box.example" in (serve.choose_host_names("Box.example") or ())
