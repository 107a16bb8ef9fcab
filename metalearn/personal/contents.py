"""A fitted recogniser as what its file holds, and back."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metalearn.errors import UserError
from metalearn.personal.checks import ALIKE, DIGEST, check_about, check_arrays
from metalearn.personal.file import FORMAT, Contents, damaged
from metalearn.personal.fitted import Alike, Expected, Fitted, Photos
from metalearn.personal.fitting import familiar_to
from metalearn.personal.model import Arrays, Kept, Maker
from metalearn.runtime import commit

# What is raised of parts that do not fit each other
FAULTS = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, UserError)
# What JSON holds of a model, its arrays, the body's -> what makes it again
Opener = Callable[[dict[str, Any], Arrays, Arrays | None], Maker]


def to_contents(fitted: Fitted, body: Arrays | None = None) -> Contents:
    """What the file of a recogniser holds.

    Args:
      fitted: the recogniser.
      body: its body's weights by path, to be included.
    """
    photos = fitted.photos
    about = {
        "kind": "recogniser",
        "format": FORMAT,
        "model": {"kind": fitted.model.kind, **fitted.model.made_of},
        "classes": list(fitted.classes),
        "photos": list(photos.names),
        "temperature": fitted.temperature,
        "threshold": fitted.threshold,
        "unknown_rate": fitted.unknown_rate,
        "expected": None if fitted.expected is None else fitted.expected._asdict(),
        "chosen": fitted.chosen,
        "made": fitted.made,
        "moved": None if fitted.alike is None else fitted.alike.said,
        "versions": {
            "metalearn": commit(),
            "python": sys.version.split()[0],
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
    }
    arrays = {
        "labels": photos.labels.astype(np.int32),
        "digests": _digests(photos.digests),
        "thumbnails": np.frombuffer(b"".join(photos.thumbnails), np.uint8),
        "thumbnail_ends": np.cumsum([len(one) for one in photos.thumbnails]).astype(np.int32),
        **_arrays_of(photos.kept),
        **({} if fitted.alike is None else _arrays_of(fitted.alike.kept, ALIKE)),
        **{f"state/{name}": part for name, part in fitted.state.items()},
        **{f"weights/{name}": part for name, part in fitted.model.weights.items()},
    }
    return Contents(about, arrays, body)


def from_contents(contents: Contents, path: Path, open_model: Opener) -> Fitted:
    """The recogniser of a file.

    Args:
      contents: what it holds.
      path: for messages.
      open_model: makes the model.

    Raises:
      UserError: its parts do not fit each other.
    """
    (about, arrays, body) = contents
    try:
        check_about(about)
        check_arrays(arrays, len(about["photos"]), len(about["classes"]))
        classes = tuple(about["classes"])
        photos = _photos(about, arrays)
        make = open_model(about["model"], _below(arrays, "weights/"), body)
        model = make(np.bincount(photos.labels)).model
        state = _below(arrays, "state/")
        familiar = familiar_to(model, state, photos.kept.values, photos.labels, len(classes))
        expected = about["expected"]
        fitted = Fitted(
            classes=classes,
            photos=photos,
            model=model,
            state=state,
            familiar=familiar,
            temperature=float(about["temperature"]),
            threshold=float(about["threshold"]),
            unknown_rate=float(about["unknown_rate"]),
            expected=None if expected is None else Expected(**expected),
            chosen=str(about["chosen"]),
            made=str(about["made"]),
            alike=_alike(about, arrays),
        )
        logits = fitted.fit.logits(photos.kept.values[:1])
        if logits.shape != (1, len(classes)) or not np.isfinite(logits).all():
            raise ValueError("what was fitted is not of these classes")
    except FAULTS as error:
        raise damaged(path, error) from error
    return fitted


def _photos(about: dict[str, Any], arrays: Arrays) -> Photos:
    """The photographs, of arrays that were checked."""
    ends = arrays["thumbnail_ends"]
    blob = arrays["thumbnails"].tobytes()
    begins = np.concatenate([[0], ends[:-1]])
    return Photos(
        names=tuple(about["photos"]),
        labels=arrays["labels"].astype(np.int64),
        digests=tuple(row.tobytes().hex() for row in arrays["digests"]),
        thumbnails=tuple(blob[i:j] for i, j in zip(begins, ends, strict=True)),
        kept=_kept(arrays),
    )


def _alike(about: dict[str, Any], arrays: Arrays) -> Alike | None:
    """The unlabelled photographs; files of earlier versions do not say that there are none."""
    said = about.get("moved")
    return None if said is None else Alike(str(said), _kept(_below(arrays, ALIKE)))


def _kept(arrays: Arrays) -> Kept:
    return Kept(arrays["codes"], arrays.get("low"), arrays.get("step"))


def _arrays_of(kept: Kept, prefix: str = "") -> Arrays:
    return {f"{prefix}{name}": part for name, part in kept._asdict().items() if part is not None}


def _digests(hexadecimal: tuple[str, ...]) -> np.ndarray:
    raw = b"".join(bytes.fromhex(one) for one in hexadecimal)
    return np.frombuffer(raw, np.uint8).reshape(-1, DIGEST)


def _below(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin so, by what follows."""
    return {
        name.removeprefix(prefix): part for name, part in arrays.items() if name.startswith(prefix)
    }
