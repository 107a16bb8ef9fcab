"""The page itself: gradio's components, and which step each of them takes.

In a notebook:

    from metalearn.personal.page.app import open_page
    page = open_page()              # shows the page below the cell; page.close() ends it

In Colab too: `python -m` cannot show a page there, as only the notebook's own process reaches the
browser. By itself gradio would make a public link in Colab, through a server of its makers; asked
for none (`share=False`) and for the page inline, it goes through Colab's own proxy, which only the
notebook's owner can use. That is what `open_page` does.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.personal.embedding import Embedder, load_embedding
from metalearn.personal.fitted import Fitted
from metalearn.personal.heads import AUTO
from metalearn.personal.heat import see_places
from metalearn.personal.model import Maker
from metalearn.personal.opening import load_fitted
from metalearn.personal.page.layout import lay_out
from metalearn.personal.page.session import Session
from metalearn.personal.page.wiring import Wiring
from metalearn.personal.probed import probed

LARGEST = "50mb"  # of a file that is uploaded
KEPT = 24 * 60 * 60  # seconds that files of the page are kept while it is open
SWEEP = 60 * 60  # seconds between looks for older ones
STYLE = Path(__file__).with_name("style.css")
HOST = "127.0.0.1"  # reached by this machine alone
FONT = ["system-ui", "sans-serif"]  # names alone: nothing is fetched
MONO = ["ui-monospace", "monospace"]


class Kit(NamedTuple):
    """What the page works with.

    Attributes:
      maker: of the models.
      pixels: a side of the photographs that they take.
      opened: the recogniser that sessions begin with, or None.
      folder: of files that people send and fetch.
    """

    maker: Maker
    pixels: int
    opened: Fitted | None
    folder: Path


def make_kit(folder: Path, file: Path | None = None, weights: str | Path | None = None) -> Kit:
    """What a page works with.

    Args:
      folder: of its files.
      file: of a recogniser to begin with.
      weights: of the body; those in the file, or installed, by default.

    Raises:
      UserError: as `load_fitted` or `load_embedding`.
    """
    if file is not None:
        fitted = load_fitted(file, weights)
        fitted.model.ask(blank(1, fitted.model.pixels))  # its weights are there, and the right ones
        return Kit(fitted.model.make, fitted.model.pixels, fitted, folder)
    embedding = load_embedding(weights=weights)
    maker = probed(embedding.shown, Embedder(lambda: embedding), AUTO)
    return Kit(maker, embedding.shown.views.pixels, None, folder)


def blank(number: int, pixels: int) -> np.ndarray:
    """Black photographs, uint8 [number,pixels,pixels,3]."""
    return np.zeros((number, pixels, pixels, 3), np.uint8)


def warmed(kit: Kit) -> Thread:
    """Compiles in the background what the first steps need, while photographs are collected."""

    def compile_all() -> None:
        model = kit.maker(np.array([2, 2])).model
        one = blank(1, kit.pixels)
        model.keep(one)
        model.ask(one)
        see_places(model, one[0])

    thread = Thread(target=compile_all, daemon=True)
    thread.start()
    return thread


def import_gradio(folder: Path) -> ModuleType:
    """The module gradio, which tells nobody that it is used.

    Args:
      folder: of files that people send and fetch.

    Raises:
      UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        import gradio
    except ImportError as error:
        raise UserError(
            f"the page needs gradio ({error}): pip install -r requirements-app.txt"
        ) from error
    return gradio


def build(gr: ModuleType, kit: Kit) -> Any:
    """The page, a `gradio.Blocks`.

    Args:
      gr: the module gradio.
      kit: what it works with.
    """
    with gr.Blocks(
        title="Teach it your own things", analytics_enabled=False, delete_cache=(SWEEP, KEPT)
    ) as page:
        # Of each person who opens the page, and of nobody else. A first value would be copied into
        # what is sent to browsers
        own = gr.State(None)
        cards = gr.State(None)  # no list yet, not even an empty one
        parts = lay_out(gr)
        first = Session(fitted=kit.opened)
        Wiring(gr, kit.maker, kit.pixels, kit.folder, first, parts, own, cards).connect(page)
    return page


def serve(
    file: Path | None = None,
    weights: str | Path | None = None,
    host: str = HOST,
    port: int | None = None,
    browser: bool = True,
) -> None:
    """Show the page until it is interrupted; then its files are removed.

    Args:
      file: of a recogniser to begin with.
      weights: as of `make_kit`.
      host: address that is listened at; by default this machine alone can reach it.
      port: the first free one from 7860 on by default.
      browser: whether to open it in a browser.

    Raises:
      UserError: gradio is not installed, the port is not free, or as `make_kit`.
    """
    with tempfile.TemporaryDirectory(prefix="metalearn-page-") as folder:
        gr = import_gradio(Path(folder))
        kit = make_kit(Path(folder), file, weights)
        page = build(gr, kit)
        compiling = warmed(kit)
        try:
            _launch(gr, page, server_name=host, server_port=port, inbrowser=browser, inline=False)
            print(f"the page is at {page.local_url} (Ctrl-C ends it)", flush=True)
            Event().wait()
        except KeyboardInterrupt:
            print("the page is closed, its files are removed")
        finally:
            page.close(verbose=False)
            compiling.join()  # Python must not end in the midst of it


def open_page(
    file: str | Path | None = None, weights: str | Path | None = None, height: int = 1000
) -> Any:
    """Show the page below a notebook's cell, in Colab too; its `close()` ends it.

    Args:
      file: of a recogniser to begin with.
      weights: as of `make_kit`.
      height: of the page, in pixels.

    Raises:
      UserError: gradio is not installed, or as `make_kit`.
    """
    folder = Path(tempfile.mkdtemp(prefix="metalearn-page-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    gr = import_gradio(folder)
    kit = make_kit(folder, None if file is None else Path(file), weights)
    page = build(gr, kit)
    warmed(kit)
    _launch(gr, page, server_name=HOST, inline=True, height=height)
    return page


def _launch(gr: ModuleType, page: Any, **options: Any) -> None:
    """Start the server, for this machine alone but for what the options say.

    Raises:
      UserError: the port is not free.
    """
    theme = gr.themes.Soft(font=FONT, font_mono=MONO).set(
        block_label_background_fill="transparent",
        block_title_background_fill="transparent",
        block_label_text_color="*body_text_color",
        block_title_text_color="*body_text_color",
        block_title_padding="0",
        block_border_width="1px",
        body_background_fill="*neutral_100",
        input_border_width="1px",
        input_border_color="*neutral_300",
        button_secondary_border_color="*neutral_300",
        button_border_width="1px",
    )
    try:
        page.launch(
            theme=theme,
            css=STYLE.read_text(),
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=LARGEST,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            **options,
        )
    except OSError as error:
        raise UserError(f"{error}: give another --port, or none") from error
