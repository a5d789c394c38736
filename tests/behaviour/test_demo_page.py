"""The page of `zoo demo` in a real browser: tiny untrained runs of all methods side by side.

These tests are skipped where playwright or Chromium is missing.
"""

from __future__ import annotations

import io
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.untrained_runs import make_all_runs, make_untrained_run
from zoogan.cli import main  # noqa: F401  (its import turns shape checks off in this module)

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
uvicorn = pytest.importorskip("uvicorn")

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
METHODS = ("sagan", "stargan", "stargan-v2", "smile", "stylegan2", "semantic-stylegan", "sd-gan", "smile-layout")
WAIT = 60_000  # milliseconds; a busy machine may be slow
expect.set_options(timeout=WAIT)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a demo of all methods."""
    from zoogan.demo import create_app, serve
    from zoogan.runs.loaded import LoadedRun

    runs = make_all_runs(METHODS)
    with pytest.MonkeyPatch.context() as patch, serve.open_socket("127.0.0.1", 0) as listener:
        patch.setattr(LoadedRun, "invert", lambda run, image, **options: run.sample(seed=9))  # the search takes long
        app = create_app(runs, names=[f"runs/{method}" for method in METHODS])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """A tab, what went wrong in it, and where it sent requests."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.tab = browser.new_page(**options)
        self.tab.set_default_timeout(WAIT)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.on("console", lambda line: line.type == "error" and self.problems.append(line.text))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(address)
        self.tab.wait_for_selector("body[data-ready]", state="attached")

    def find(self, method: str, selector: str = "") -> Any:
        return self.tab.locator(f".panel[aria-label='{method}'] {selector}".strip())

    def settle(self, method: str) -> str:
        """Wait until no request of a panel is under way, and return its picture."""
        self.tab.wait_for_function("() => window.zooganIsIdle()")
        return str(self.find(method, ".after").get_attribute("src"))


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Iterator[Page]:
    page = Page(browser, address, viewport={"width": 1280, "height": 900})
    page.settle("sagan")
    yield page
    page.tab.close()


def make_photo(seed: int, side: int = 80) -> bytes:
    output = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(output, "PNG")
    return output.getvalue()


def give_files(page: Page, kind: str, name: str, content: bytes) -> None:
    """Drop or paste a file on the page, as a browser does."""
    script = """([kind, name, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
        const event = kind === "drop"
            ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
            : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
        document.body.dispatchEvent(event);
    }"""
    page.tab.evaluate(script, [kind, name, list(content)])


def test_page_starts_with_an_edit_of_every_method(page: Page, address: str) -> None:
    assert page.tab.locator(".panel").count() == len(METHODS)
    for method in METHODS:
        before = page.find(method, ".before").get_attribute("src")
        if method == "smile-layout":  # of a face that a run made, the map of parts is unknown
            expect(page.find(method, ".work .error")).to_contain_text("give it too")
            continue
        assert page.settle(method) != before, method
        expect(page.find(method, ".command code")).to_contain_text(f"zoo edit runs/{method} ")
        assert page.find(method, ".after").evaluate("image => image.naturalWidth") >= 16
    assert all(url.startswith((address, "data:")) for url in page.requests)
    assert [line for line in page.problems if "400" not in line] == []


def test_slider_edits_and_history_goes_back(page: Page) -> None:
    slider = page.find("sagan", "input[name=Eyeglasses]")
    first = page.settle("sagan")
    slider.focus()
    slider.press("ArrowLeft" if float(slider.input_value()) > 0.5 else "ArrowRight")
    second, value = page.settle("sagan"), slider.input_value()
    assert second != first
    expect(page.find("smile", ".command code")).to_contain_text(re.compile("Eyeglasses=[01] *"))  # moves along
    expect(page.find("sagan", ".command code")).to_contain_text(f"Eyeglasses={float(value):g}")
    expect(page.find("sagan", ".work .status")).to_contain_text("Edited in")
    page.find("sagan", ".undo").click()
    assert page.settle("sagan") == first and slider.input_value() != value
    page.tab.keyboard.press("y")
    assert page.settle("sagan") == second and slider.input_value() == value
    page.find("sagan", ".views [data-view=mask]").click()
    assert page.find("sagan", ".over").is_visible()
    page.find("sagan", ".cut").focus()
    page.find("sagan", ".cut").press("Home")
    assert page.find("sagan", ".stage").evaluate("stage => stage.style.getPropertyValue('--cut')") == "0"


def test_photo_is_chosen_dropped_and_pasted(page: Page) -> None:
    count = page.tab.locator("#strip .thumb").count()
    pictures = {page.find("sagan", ".before").get_attribute("src")}
    page.tab.set_input_files("#file", {"name": "my photo.png", "mimeType": "image/png", "buffer": make_photo(1)})
    for number, kind in enumerate(("choose", "drop", "paste"), 1):
        if kind != "choose":
            give_files(page, kind, f"{kind}.png", make_photo(number))
        expect(page.tab.locator("#strip .thumb")).to_have_count(count + number)
        page.settle("sagan")
        pictures.add(page.find("sagan", ".before").get_attribute("src"))
        assert page.tab.locator("#strip .thumb input").first.is_checked()
    assert len(pictures) == 4
    expect(page.tab.locator("#strip .thumb span").first).to_have_text("paste")
    page.tab.keyboard.press("]")
    page.tab.keyboard.press("]")
    page.settle("sagan")
    expect(page.find("sagan", ".command code")).to_contain_text("'my photo.png'")


def test_reference_gives_the_style(page: Page) -> None:
    page.find("stargan-v2", ".chip input[value=Black_Hair]").check(force=True)
    page.settle("stargan-v2")
    page.find("stargan-v2", ".picker .thumb input").nth(2).check(force=True)
    page.settle("stargan-v2")
    expect(page.find("stargan-v2", ".command code")).to_contain_text("--domain Black_Hair --reference")
    page.find("stargan-v2", "input[name=truncation]").fill("0.5")  # a drawn style again
    page.settle("stargan-v2")
    expect(page.find("stargan-v2", ".command code")).to_contain_text("--truncation 0.5")
    page.find("stargan-v2", ".chip input[value='']").check(force=True)
    page.find("stargan-v2", ".picker .thumb input").nth(2).check(force=True)
    page.settle("stargan-v2")
    expect(page.find("stargan-v2", ".work .error")).to_contain_text("which of Black_Hair")


def test_parts_offsets_and_directions(page: Page) -> None:
    page.tab.locator("#strip .thumb[title='seed-1.png'] input").check(force=True)
    page.settle("sagan")
    for method, part in (("semantic-stylegan", "face"), ("smile", "hair")):
        before = page.settle(method)
        page.find(method, f".chip input[value={part}]").check(force=True)
        changed = page.settle(method) != before
        assert changed or method == "smile"  # whose untrained parser may find no hair
        for words in (f"--part {part}", "--from-seed 7"):
            expect(page.find(method, ".command code")).to_contain_text(words)
        expect(page.find(method, ".views [data-view=parts]")).to_be_visible()
    page.find("sd-gan", "input[name=Face_Mask]").fill("1")
    page.settle("sd-gan")
    page.find("sd-gan", "input[name=offset]").fill("0.25")
    page.settle("sd-gan")
    expect(page.find("sd-gan", ".command code")).to_contain_text("--seed 1 --attribute")
    expect(page.find("sd-gan", ".command code")).to_contain_text("--offset 0.25")
    assert page.find("sd-gan", ".views button").count() == 3
    before = page.settle("stylegan2")
    page.find("stylegan2", "input[name=Smiling]").fill("0.35")
    assert page.settle("stylegan2") != before
    page.find("stylegan2", ".row.touched .clear").first.click()
    expect(page.find("stylegan2", ".command code")).to_contain_text("Move a control")
    page.tab.fill("#make-seed", "31")
    page.tab.click("text=Make a face")
    expect(page.tab.locator("#strip .thumb span").first).to_have_text("seed-31")


def test_map_of_parts_is_edited(page: Page) -> None:
    page.tab.locator("#strip .thumb[title='face-2.png'] input").check(force=True)
    page.settle("smile-layout")
    switch = page.find("smile-layout", "input[name=Eyeglasses]")
    before, was_on = page.settle("smile-layout"), switch.is_checked()
    switch.click()
    assert page.settle("smile-layout") != before or was_on
    expect(page.find("smile-layout", ".work .error")).to_have_text("")
    expect(page.find("smile-layout", ".downloads")).to_contain_text("map of parts")


def test_picture_is_saved(page: Page, tmp_path: Path) -> None:
    page.find("sagan", "input[name=Eyeglasses]").fill("0.6")
    page.settle("sagan")
    with page.tab.expect_download() as download:
        page.find("sagan", ".save").click()
    assert download.value.suggested_filename.endswith("-edited.png") or "mask" in download.value.suggested_filename
    download.value.save_as(tmp_path / "saved.png")
    size = make_untrained_run("sagan").facts.image_size
    assert Image.open(tmp_path / "saved.png").size == (size, size)


def test_errors_of_photos_are_shown(page: Page) -> None:
    error = page.tab.locator("#error")
    page.tab.set_input_files("#file", {"name": "me.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(error).to_contain_text("me.png: not a picture that can be read")
    page.tab.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(16 * 2 ** 20 + 1)], "large.png", {type: "image/png"}));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }"""
    )
    expect(error).to_contain_text("16.0 MB are more than 16 MB")
    answer = page.tab.evaluate(
        "() => fetch('/api/photos', {method: 'POST', body: new Uint8Array(16 * 2 ** 20 + 1)}).then(r => r.status)"
    )
    assert answer == 413
    page.tab.set_input_files("#file", {"name": "me.png", "mimeType": "image/png", "buffer": make_photo(5)})
    expect(error).to_have_text("")


def test_square_of_a_photo_is_chosen(page: Page) -> None:
    page.tab.set_input_files("#file", {"name": "two.png", "mimeType": "image/png", "buffer": make_photo(6)})
    page.tab.locator("#box-open").click()
    page.tab.wait_for_selector("#box[open]")
    area = page.tab.locator("#box img").bounding_box()
    assert area is not None
    page.tab.mouse.move(area["x"] + 4, area["y"] + 4)
    page.tab.mouse.down()
    page.tab.mouse.move(area["x"] + 4 + area["width"] / 2, area["y"] + 4 + area["width"] / 2)
    page.tab.mouse.up()
    side = page.tab.locator("#box input[name=side]")
    drawn = int(side.input_value())
    side.focus()
    side.press("ArrowLeft")
    assert int(side.input_value()) == drawn - 1
    page.tab.locator("#box button[value=use]").click()
    expect(page.find("sagan", ".command code")).to_contain_text(re.compile(rf"--box \d+,\d+,{drawn - 1},{drawn - 1}"))
    page.settle("sagan")


def test_second_tab_on_a_phone(browser: Any, address: str, page: Page) -> None:
    phone = Page(browser, address, viewport={"width": 390, "height": 800}, color_scheme="dark")
    first = page.settle("sagan")
    phone.settle("sagan")
    phone.find("sagan", "input[name=Eyeglasses]").fill("0.15")
    assert phone.settle("sagan") != first and page.settle("sagan") == first
    assert phone.tab.evaluate("document.documentElement.scrollWidth") <= 390
    background = phone.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background != page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    unnamed = phone.tab.evaluate(
        """() => {
            const hasText = (node) => [...(node.labels ?? []), node].some((one) => one.textContent.trim());
            const isNamed = (node) => hasText(node) || node.ariaLabel || node.hasAttribute("alt");
            const nodes = [...document.querySelectorAll("input, select, button, img")];
            return nodes.filter((node) => !isNamed(node)).map((node) => node.outerHTML.slice(0, 120));
        }"""
    )
    assert unnamed == []
    phone.tab.keyboard.press("?")
    expect(phone.tab.locator("#help")).to_be_visible()
    phone.tab.close()
