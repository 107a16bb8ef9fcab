"""Recognisers from their files, whatever made them."""

from functools import partial
from pathlib import Path
from typing import Any

from metalearn.personal import probed
from metalearn.personal.contents import from_contents, to_contents
from metalearn.personal.file import read_contents, write_contents
from metalearn.personal.fitted import Fitted
from metalearn.personal.model import Arrays, Maker


def save_fitted(fitted: Fitted, path: Path, include_body: bool = False) -> None:
    """Write a recogniser's file, whole or not at all.

    Args:
      fitted: the recogniser.
      path: of the file.
      include_body: whether it holds the body's weights too, so that these need not be installed.

    Raises:
      UserError: it cannot be written.
    """
    body = fitted.model.body() if include_body else None
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
    if kind != probed.KIND:
        raise ValueError(f"unknown kind of model '{kind}'")
    return probed.open_probed(made_of, arrays, body, weights)
