"""The page of `personalise` in a real browser, with drawn photographs: headless Chromium.

Skipped where gradio (requirements-app.txt), Selenium (requirements-dev.txt) or Chromium with its
driver (Debian: chromium, chromium-driver) are not installed. METALEARN_SHOTS names a folder that
gets the screenshots.
"""

import base64
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metalearn.recogniser import Recogniser
from tests.programs import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
LACKING = [name for name in ("gradio", "selenium") if importlib.util.find_spec(name) is None]
LACKING += [] if CHROMIUM else ["chromium"]
LACKING += [] if DRIVER else ["chromedriver"]
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")

COMMAND = (sys.executable, "-P", "-m", "experiments.personalise", "page", "--nobrowser")
WIDE = (1280, 1000)
PHONE = (390, 844)
PATIENCE = 90  # seconds that a step may take on a busy machine
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
NAME = "#name textarea, #name input"
THINGS = ("red discs", "blue stripes", "green checks", "yellow bars")


def draw(thing: str, seed: int) -> Image.Image:
    """A photograph of a drawn thing, somewhere on a ground of its own, with noise."""
    random = np.random.default_rng([THINGS.index(thing), seed])
    (y, x) = np.mgrid[:240, :320]
    pixels = np.full((240, 320, 3), random.integers(90, 170, 3))
    (top, left) = random.integers(20, 60, 2)
    masks = {
        "red discs": (y - top - 80) ** 2 + (x - left - 120) ** 2 < 75**2,
        "blue stripes": ((x + left) // 14 % 2 == 0) & (y > top),
        "green checks": (((x + left) // 30 + (y + top) // 30) % 2 == 0),
        "yellow bars": ((y + top) // 22 % 3 == 0) & (x > left),
    }
    colours = {
        "red discs": (210, 30, 25),
        "blue stripes": (25, 40, 200),
        "green checks": (20, 150, 45),
        "yellow bars": (240, 210, 20),
    }
    pixels[masks[thing]] = colours[thing]
    noisy = pixels + random.normal(0, 8, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def photos(folder: Path, thing: str, number: int, first: int = 0) -> list[Path]:
    """Photographs of a thing as files."""
    found = []
    for seed in range(first, first + number):
        path = folder / f"{thing.replace(' ', '-')}-{seed}.jpg"
        draw(thing, seed).save(path)
        found.append(path)
    return found


@contextmanager
def served(folder: Path, *words: str) -> Iterator[str]:
    """The address of the page, which keeps its files below a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "METALEARN_STARTED": "here"}
    places["XLA_FLAGS"] = ""  # a body this large is not compiled in haste
    said = folder.with_suffix(".stderr")
    with said.open("w") as errors:
        server = subprocess.Popen(
            [*COMMAND, f"--port={port}", *words],
            env=os.environ | places,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, f"the page did not start: {line}{said.read_text()}"
        yield found[0]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=PATIENCE)
    assert "Traceback" not in said.read_text(), said.read_text()


class Tab:
    """A browser's window that shows the page."""

    def __init__(self, downloads: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        for argument in (*ARGUMENTS, f"--window-size={WIDE[0]},{WIDE[1]}"):
            options.add_argument(argument)
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        service = webdriver.ChromeService(DRIVER)
        self.driver = webdriver.Chrome(options=options, service=service)

    def open(self, url: str) -> None:
        """Show the page, with nothing on it yet."""
        self.driver.get(url)
        self.wait(lambda: self.all(NAME) and self.text("#classes"))

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        """The words at a place; empty where it is not there."""
        return " ".join(one.text for one in self.all(selector))

    def wait(self, until: Callable[[], Any]) -> None:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [StaleElementReferenceException]
        WebDriverWait(self.driver, PATIENCE, 0.1, ignored).until(lambda _: until())

    def click(self, selector: str) -> None:
        self.wait(lambda: self.all(selector) and self.all(selector)[0].is_enabled())
        (button,) = self.all(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()

    def type(self, selector: str, words: str) -> None:
        (field,) = self.all(selector)
        field.clear()
        field.send_keys(words)

    def upload(self, selector: str, paths: list[Path]) -> None:
        (field,) = self.all(f"{selector} input[type=file]")
        field.send_keys("\n".join(map(str, paths)))

    def add(self, name: str, paths: list[Path]) -> None:
        """Photographs into a class; returns when the list shows it."""
        self.type(NAME, name)
        self.upload("#files", paths)
        self.wait(lambda: paths[-1].stem in self.text("#files"))
        self.click("#add")
        self.wait(lambda: name in self.text("#classes"))

    def ask(self, path: Path) -> None:
        """Ask about a photograph; returns when the picture of what spoke for it is there."""
        self.upload("#photo", [path])
        self.wait(lambda: self.text("#headline") and self.all("#heat img"))

    def shoot(self, path: Path, size: tuple[int, int]) -> None:
        """A picture of the whole page as a window of this size shows it."""
        (width, height) = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        whole = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": width, "height": whole["height"], "scale": 1}
        found = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        path.write_bytes(base64.b64decode(found["data"]))

    def hosts(self) -> set[str]:
        """The hosts that were asked for anything."""
        sent = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        found = set()
        for one in sent:
            if one["message"]["method"] == "Network.requestWillBeSent":
                url = one["message"]["params"]["request"]["url"]
                found |= set(re.findall(r"^(?:https?|wss?)://([^/:]+)", url))
        return found


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """The folder of screenshots."""
    folder = Path(os.environ.get("METALEARN_SHOTS") or tmp_path / "shots").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    found = Tab(tmp_path / "downloads")
    yield found
    found.driver.quit()


@pytest.mark.slow
def test_a_person_teaches_asks_corrects_and_saves(tmp_path: Path, tab: Tab, shots: Path) -> None:
    own = tmp_path / "served"
    own.mkdir()
    with served(own) as url:
        tab.open(url)
        assert "Nothing here yet" in tab.text("#classes")
        _teach(tab, tmp_path)
        tab.shoot(shots / "learned.png", WIDE)
        _ask_and_correct(tab, tmp_path)
        for name, size in (("wide", WIDE), ("phone", PHONE)):
            tab.shoot(shots / f"{name}.png", size)
            with Image.open(shots / f"{name}.png") as picture:
                assert picture.width == size[0] and picture.height > size[1]
                assert np.ptp(np.asarray(picture.convert("L"))) > 200
            across = tab.driver.execute_script("return document.documentElement.scrollWidth")
            assert across <= size[0]  # nothing to scroll sideways
        tab.click("#download")
        saved = tmp_path / "downloads" / "mine.recogniser"
        tab.wait(saved.exists)
        assert tab.hosts() == {"127.0.0.1"}
        tab.open(url)  # by another person, or once more: it knows nothing of the first
        assert "Nothing here yet" in tab.text("#classes")
        with socket.socket() as elsewhere:  # another address of this machine: nobody listens there
            assert elsewhere.connect_ex(("127.0.0.2", int(url.split(":")[2].strip("/")))) != 0
    assert list(own.iterdir()) == []
    mine = Recogniser.load(saved)
    assert mine.classes == tuple(sorted(THINGS))
    asked = [draw(thing, 60) for thing in THINGS]
    assert [answer.label for answer in mine.predict(asked)] == list(THINGS)
    with served(own, str(saved)) as url:
        tab.driver.set_window_size(*WIDE)
        tab.open(url)
        assert all(thing in tab.text("#classes") for thing in THINGS)
        tab.ask(photos(tmp_path, "green checks", 1, 70)[0])
        assert "green checks" in tab.text("#headline")


def _teach(tab: Tab, folder: Path) -> None:
    """Three classes, one of them with a file that is no photograph."""
    broken = folder / "broken.jpg"
    broken.write_text("no <b>image</b>")
    tab.add(THINGS[0], photos(folder, THINGS[0], 5))
    tab.add(THINGS[1], [broken, *photos(folder, THINGS[1], 5)])
    tab.wait(lambda: "broken.jpg (no image file" in tab.text("#notes"))
    tab.add(THINGS[2], photos(folder, THINGS[2], 5))
    tab.click("#add")  # nothing more was given
    tab.wait(lambda: "Type a name first" in tab.text("#notes"))
    tab.click("#learn")
    tab.wait(lambda: "Learned 3 things from 15 photos" in tab.text("#state"))


def _ask_and_correct(tab: Tab, folder: Path) -> None:
    tab.ask(photos(folder, THINGS[1], 1, 50)[0])
    assert "blue stripes" in tab.text("#headline")
    assert re.search(r"blue stripes\s+\d+%", tab.text("#probabilities"))
    assert len(tab.all("#nearest figure img")) == 3 and "blue-stripes-" in tab.text("#nearest")
    tab.click("#photo button[aria-label='Remove Image']")
    tab.wait(lambda: not tab.text("#headline"))
    tab.ask(photos(folder, THINGS[3], 1, 50)[0])
    assert THINGS[3] not in tab.text("#headline")
    tab.type("#right input", f"{THINGS[3]}\n")
    tab.click("#correct")
    tab.wait(lambda: "Learned 4 things from 16 photos" in tab.text("#state"))
    tab.wait(lambda: THINGS[3] in tab.text("#headline"))
    tab.wait(lambda: f"{THINGS[3]}\n1 photo learned" in tab.text("#classes"))


@pytest.mark.slow
def test_a_person_labels_a_pile_with_keys(tmp_path: Path, tab: Tab, shots: Path) -> None:
    """Of three things; undo, a photo that is left out, and then it learns."""
    own = tmp_path / "served"
    own.mkdir()
    things = THINGS[:3]
    heap = [path for thing in things for path in photos(tmp_path, thing, 6)]
    with served(own) as url:
        tab.open(url)
        tab.upload("#pile", heap)
        tab.wait(lambda: heap[-1].stem in tab.text("#pile"))
        tab.click("#pile-add")
        tab.wait(lambda: "What is it?" in tab.text("#pile-photo"))
        keys: list[str] = []
        for number in range(10):
            _answer(tab, keys)
            tab.wait(lambda number=number: f"{number + 1} labelled" in tab.text("#pile-said"))
        assert sorted(keys) == sorted(things)
        assert "right, each held out in turn" in tab.text("#pile-said")
        tab.shoot(shots / "pile.png", WIDE)
        asked = tab.text("#pile-photo")
        _press(tab, "u")
        tab.wait(lambda: "9 labelled" in tab.text("#pile-said"))
        assert tab.text("#pile-photo") != asked
        _press(tab, "0")
        tab.wait(lambda: "8 left" in tab.text("#pile-said"))
        assert "9 labelled" in tab.text("#pile-said")
        tab.shoot(shots / "pile-phone.png", PHONE)
        across = tab.driver.execute_script("return document.documentElement.scrollWidth")
        assert across <= PHONE[0]
        tab.click("#learn")
        tab.wait(lambda: "Learned 3 things from 9 photos" in tab.text("#state"))
        tab.click("#start-over")
        tab.wait(lambda: "Nothing here yet" in tab.text("#classes"))
        tab.wait(lambda: not tab.text("#pile-said"))
        assert tab.hosts() == {"127.0.0.1"}
    assert list(own.iterdir()) == []


def _answer(tab: Tab, keys: list[str]) -> None:
    """Answer what is asked: by its key, or by the name of a new thing."""
    stem = tab.text("#pile-photo").split()[0]
    name = next(thing for thing in THINGS if stem.startswith(thing.replace(" ", "-")))
    if name in keys:
        assert f"{keys.index(name) + 1} {name}" in " ".join(tab.text("#pile-keys").split())
        _press(tab, str(keys.index(name) + 1))
    else:
        tab.type("#pile-name input", f"{name}\n")
        tab.click("#pile-other")
        keys.append(name)


def _press(tab: Tab, key: str) -> None:
    tab.driver.execute_script("document.activeElement.blur()")
    tab.driver.find_element("css selector", "body").send_keys(key)
