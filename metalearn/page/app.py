"""The page itself: what it works with, and its components, ready to be shown."""

import os
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.page.layout import lay_out
from metalearn.page.pile_wiring import PileWiring
from metalearn.page.session import Session
from metalearn.page.wiring import Wiring
from metalearn.personal.embedding import Embedder, load_embedding
from metalearn.personal.fitted import Fitted
from metalearn.personal.heads import AUTO
from metalearn.personal.heat import see_places
from metalearn.personal.model import Maker
from metalearn.personal.opening import load_fitted
from metalearn.personal.probed import probed

KEPT = 24 * 60 * 60  # seconds that files of the page are kept while it is open
SWEEP = 60 * 60  # seconds between looks for older ones


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


def warmed(kit: Kit, ended: Event) -> Thread:
    """Compiles in the background what the first steps need, while photographs are collected.

    Args:
      kit: what the page works with.
      ended: set when the page ends, which leaves out the rest.
    """

    def compile_all() -> None:
        model = kit.maker(np.array([2, 2])).model if kit.opened is None else kit.opened.model
        one = blank(1, kit.pixels)
        for needed in (model.keep, model.ask, lambda some: see_places(model, some[0])):
            if not ended.is_set():
                needed(one)

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
        wiring = Wiring(gr, kit.maker, kit.pixels, kit.folder, first, parts, own, cards)
        wiring.connect(page)
        PileWiring(wiring).connect(page)
    return page
