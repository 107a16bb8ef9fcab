"""Recognisers from their files, whatever made them."""

from functools import partial
from pathlib import Path
from typing import Any

from metalearn.personal import probed
from metalearn.personal.contents import from_contents, to_contents
from metalearn.personal.file import read_contents, write_contents
from metalearn.personal.fitted import Fitted
from metalearn.personal.model import RUN, Arrays, Maker


def save_fitted(fitted: Fitted, path: Path, include_body: bool = False) -> None:
    """Write a recogniser's file, whole or not at all.

    Args:
      fitted: the recogniser.
      path: of the file.
      include_body: whether it holds the body's weights too, so that these need not be installed;
        it does if the file did that the recogniser was read from.

    Raises:
      UserError: it cannot be written.
    """
    body = fitted.model.body() if include_body or fitted.model.included else None
    write_contents(path, to_contents(fitted, body))


def load_fitted(path: Path, weights: str | Path | None = None) -> Fitted:
    """The recogniser of a file.

    Args:
      path: of the file.
      weights: file of the body's weights; those in the file, or those installed, by default.

    Raises:
      UserError: it is not there, damaged, or of a newer version.
    """
    return from_contents(read_contents(path), path, partial(_open, weights))


def _open(
    weights: str | Path | None, made_of: dict[str, Any], arrays: Arrays, body: Arrays | None
) -> Maker:
    kind = made_of.pop("kind")
    if kind == probed.KIND:
        return probed.open_probed(made_of, arrays, body, weights)
    if kind != RUN:
        raise ValueError(f"unknown kind of model '{kind}'")
    # Here, as learners and checkpoints take long to import
    from metalearn.personal.adapted import open_adapted

    return open_adapted(made_of, arrays)


def run_maker(workdir: Path) -> Maker:
    """What makes the model of a finished run.

    Raises:
      UserError: the folder holds none, or it cannot be used.
    """
    from metalearn.personal.adapted import adapted
    from metalearn.records.workdir import read_workdir
    from metalearn.retest import read_trained

    return adapted(read_workdir(workdir).config, read_trained(workdir))
