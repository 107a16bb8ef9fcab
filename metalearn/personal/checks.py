"""Whether the parts of a recogniser's file are what was written: others give away theirs, too."""

import math
from typing import Any

import numpy as np

from metalearn.personal.model import Arrays

DIGEST = 32  # bytes of SHA-256
NUMBERS = "iufb"  # kinds of arrays
ALIKE = "alike/"  # before the names of arrays of unlabelled photographs


def check_about(about: dict[str, Any]) -> None:
    """See that what JSON holds has the types and ranges that were written.

    Raises:
      KeyError, TypeError, ValueError: it has not.
    """
    classes = about["classes"]
    if not _words(classes) or len(set(classes)) != len(classes) or len(classes) < 2:
        raise ValueError("its classes are no list of different names")
    if not _words(about["photos"]):
        raise ValueError("its photos are no list of names")
    if not isinstance(about["model"], dict):
        raise ValueError("it does not say what model it has")
    for name in ("temperature", "threshold", "unknown_rate"):
        _check_number(name, about[name])
    if about["temperature"] <= 0:
        raise ValueError("its temperature is not above 0")
    if not 0 < about["unknown_rate"] <= 1:
        raise ValueError("its unknown rate is not in (0, 1]")
    for name, value in (about["expected"] or {}).items():
        if name != "right_of_accepted" or value is not None:
            _check_number(name, value)


def _words(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"its {name} is no number")


def check_arrays(arrays: Arrays, photos: int, classes: int) -> None:
    """See that arrays are of so many photographs and classes, and hold numbers.

    Raises:
      KeyError, ValueError: they do not.
    """
    for name, part in arrays.items():
        if part.dtype.kind not in NUMBERS or not np.isfinite(part).all():
            raise ValueError(f"{name} holds what is no number")
    labels = arrays["labels"]
    _check_kind("labels", labels, "i", (photos,))
    if (np.diff(labels) < 0).any() or np.unique(labels).tolist() != list(range(classes)):
        raise ValueError("its photos and its classes do not fit each other")
    _check_kind("digests", arrays["digests"], "u", (photos, DIGEST))
    _check_kept(arrays, "", photos)
    unlabelled = arrays.get(f"{ALIKE}codes")
    if unlabelled is not None:
        _check_kept(arrays, ALIKE, max(1, len(unlabelled)))
        if unlabelled.shape[1:] != arrays["codes"].shape[1:]:
            raise ValueError("its photos and the unlabelled ones do not fit each other")
    ends = arrays["thumbnail_ends"]
    _check_kind("thumbnail_ends", ends, "i", (photos,))
    _check_kind("thumbnails", arrays["thumbnails"], "u", (ends[-1],))
    if (np.diff(ends, prepend=0) < 0).any():
        raise ValueError("its thumbnails do not follow each other")


def _check_kept(arrays: Arrays, prefix: str, photos: int) -> None:
    codes = arrays[f"{prefix}codes"]
    _check_kind(f"{prefix}codes", codes, "u", (photos, *codes.shape[1:]))
    ends = arrays.keys() & {f"{prefix}low", f"{prefix}step"}
    if len(ends) == 1 or codes.ndim < 2:
        raise ValueError("what is kept of its photos is not whole")
    for name in ends:
        _check_kind(name, arrays[name], "f", (photos,))


def _check_kind(name: str, part: np.ndarray, kind: str, shape: tuple[int, ...]) -> None:
    if part.dtype.kind != kind or part.shape != shape:
        raise ValueError(f"{name} is {part.dtype} {list(part.shape)}, not {list(shape)}")
