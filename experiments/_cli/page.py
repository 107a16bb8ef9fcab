"""The command of `experiments.personalise` that shows a page in the browser."""

from pathlib import Path

from experiments._cli.define import FLAGS, define_flag
from metalearn.errors import UserError
from metalearn.page import HOST
from metalearn.runtime import configure


def define_page() -> None:
    """Define its flags."""
    define_flag("host", HOST, "of `page`: address it listens at; 0.0.0.0 lets others in")
    define_flag("port", None, "of `page`: its port [the first free one from 7860]", int)
    define_flag("browser", True, "of `page`: open it in a browser")


def page(*words: str) -> None:
    """`page [FILE]`: in the browser, until it is interrupted.

    Raises:
      UserError: gradio is not installed, it cannot listen there, or as `load_fitted`.
    """
    if len(words) > 1:
        raise UserError("page takes a recogniser's file, or none; see --help")
    from metalearn.page.serving import serve  # the other commands start sooner without it

    configure(1, "float32")
    file = Path(words[0]) if words else None
    serve(file, FLAGS.weights, FLAGS.host, FLAGS.port, FLAGS.browser)
