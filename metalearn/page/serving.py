"""Shows the page: in a browser of this machine, or in a notebook.

In a notebook:

    from metalearn.page.serving import open_page
    page = open_page()              # shows the page below the cell; page.close() ends it

In Colab too: `python -m` cannot show a page there, as only the notebook's own process reaches the
browser. By itself gradio would make a public link in Colab, through a server of its makers; asked
for none (`share=False`) and for the page inline, it goes through Colab's own proxy, which only the
notebook's owner can use. That is what `open_page` does.
"""

import atexit
import shutil
import socket
import tempfile
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

from metalearn.errors import UserError
from metalearn.page import HOST
from metalearn.page.app import build, import_gradio, make_kit, warmed

LARGEST = "50mb"  # of a file that is uploaded
STYLE = Path(__file__).with_name("style.css")
FONT = ["system-ui", "sans-serif"]  # names alone: nothing is fetched
MONO = ["ui-monospace", "monospace"]


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
      port: the first free one from 7860 on by default, and for 0.
      browser: whether to open it in a browser.

    Raises:
      UserError: gradio is not installed, the address or the port cannot be listened at, or as
        `make_kit`.
    """
    check_address(host, port)
    with tempfile.TemporaryDirectory(prefix="metalearn-page-") as folder:
        gr = import_gradio(Path(folder))
        kit = make_kit(Path(folder), file, weights)
        page = build(gr, kit)
        ended = Event()
        compiling = warmed(kit, ended)
        try:
            where = {"server_name": host, "server_port": port or None}
            _launch(gr, page, inbrowser=browser, inline=False, **where)
            print(f"the page is at {page.local_url} (Ctrl-C ends it)", flush=True)
            ended.wait()
        except KeyboardInterrupt:
            print("the page is closed, its files are removed")
        finally:
            page.close(verbose=False)
            ended.set()
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
    warmed(kit, Event())
    _launch(gr, page, server_name=HOST, inline=True, height=height)
    return page


def _launch(gr: ModuleType, page: Any, **options: Any) -> None:
    """Start the server, for this machine alone but for what the options say."""
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


def check_address(host: str, port: int | None) -> None:
    """See that the page can listen there.

    Args:
      host: an address of this machine.
      port: None for whichever is free.

    Raises:
      UserError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            trial.bind((host, port or 0))
    except (OSError, OverflowError) as error:
        where = f"{host}, port {port}" if port else host
        raise UserError(
            f"the page cannot listen at {where} ({error}): give another --port or --host, or none"
        ) from error
