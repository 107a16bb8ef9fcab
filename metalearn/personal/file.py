"""A recogniser as one file: JSON and safetensors in a zip, nothing that could be executed.

recogniser.json      what it is: classes, photographs, threshold, body, versions
arrays.safetensors   what is kept of the photographs, what was fitted to them, thumbnails
body.safetensors     the body's weights, where they are included
"""

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load, save

from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.personal.model import Arrays

FORMAT = 1  # raised when older programs could not read a file any more
ABOUT, ARRAYS, BODY = "recogniser.json", "arrays.safetensors", "body.safetensors"
LARGEST = 2**31  # bytes that a part may have once it is unpacked
LARGEST_ABOUT = 2**26  # bytes of what it says in words, which becomes many objects


class Contents(NamedTuple):
    """What a file holds, as it is there.

    Attributes:
      about: the JSON.
      arrays: by name; those of `state/`, `weights/` and the photographs.
      body: the body's weights by path; None where they are not included.
    """

    about: dict[str, Any]
    arrays: Arrays
    body: Arrays | None


def write_contents(path: Path, contents: Contents) -> None:
    """Write the file, whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    parts = {ABOUT: json.dumps(contents.about, indent=1).encode(), ARRAYS: _saved(contents.arrays)}
    if contents.body is not None:
        parts[BODY] = _saved(contents.body)

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, part in parts.items():
                # With a date of its own, the same recogniser would not be the same file
                archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED, 9)

    write_whole(path, write)


def _saved(arrays: Arrays) -> bytes:
    """The arrays as safetensors, which would write those of transposed memory transposed."""
    return save({name: np.asarray(part, order="C") for name, part in arrays.items()})


def read_contents(path: Path) -> Contents:
    """What a file holds.

    Raises:
      UserError: it is not there, damaged, of another kind or of a newer version.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"{path} is no file: name that of a recogniser")
        with zipfile.ZipFile(path) as archive:
            about = json.loads(_part(archive, ABOUT))
            if not isinstance(about, dict) or about.get("kind") != "recogniser":
                raise ValueError("it does not say that it is a recogniser")
            if not isinstance(about.get("format"), int) or about["format"] < 1:
                raise ValueError("it does not say which format it has")
            if about["format"] > FORMAT:
                raise UserError(
                    f"{path} was written by a newer version of this project (format "
                    f"{about['format']}, this one reads {FORMAT}): update it"
                )
            body = load(_part(archive, BODY)) if BODY in archive.namelist() else None
            return Contents(about, load(_part(archive, ARRAYS)), body)
    except FileNotFoundError:
        raise UserError(f"{path} is not there: `fit` makes a recogniser") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a recogniser's file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except UserError:
        raise
    except Exception as error:  # zip, JSON and safetensors raise whatever they can get wrong
        raise damaged(path, error) from error


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    most = LARGEST_ABOUT if name == ABOUT else LARGEST
    if archive.getinfo(name).file_size > most:
        raise ValueError(f"{name} is too large")
    return archive.read(name)


def is_recogniser(path: Path) -> bool:
    """Whether a file is an archive of ours, damaged or not."""
    if not path.is_file():  # reading a pipe would wait for ever
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return ABOUT in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def damaged(path: Path, error: Exception) -> UserError:
    """The error of a file that is not what was written."""
    why = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} is no recogniser, or damaged ({why}): fit it again")
