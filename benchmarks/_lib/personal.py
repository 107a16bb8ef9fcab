"""Our side of `benchmarks.personalise`, in a running process: the body is loaded once."""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from benchmarks._lib.photos import SIDE, first_photo, folder_of_photos
from benchmarks._lib.work import Arrays, Work
from metalearn.data.snapshots import find_labelled
from metalearn.personal.embedding import Embedder, Shown, load_embedding, view_features
from metalearn.personal.fitted import Fitted, Photos
from metalearn.personal.fitting import fit_photos, photos_of
from metalearn.personal.heads import AUTO
from metalearn.personal.model import Maker, rounded
from metalearn.personal.probed import probed
from metalearn.personal.reading import readable_ones
from metalearn.personal.unknown import RATE
from metalearn.personal.views import View
from metalearn.recogniser import Recogniser
from metalearn.transfer.centroid import unit

NEW = "class added"
SPREAD = 1.0  # length of what drawn photographs of a class differ by, beside that of their mean
Parts = dict[str, float]


class Clock:
    """Milliseconds of one thing after the other."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Since the lap before, or the beginning."""
        now = time.perf_counter()
        milliseconds = 1e3 * (now - self._last)
        self._last = now
        return milliseconds


def maker() -> tuple[Maker, Shown]:
    """What fits recognisers, and keeps its compiled programs."""
    embedding = load_embedding()
    return probed(embedding.shown, Embedder(lambda: embedding), AUTO), embedding.shown


def fitted_to(make: Maker, folder: Path) -> tuple[Fitted, Parts]:
    """The recogniser of a folder, and what its parts took."""
    clock = Clock()
    classes = find_labelled(folder)
    made = make(np.array([len(paths) for paths in classes.values()]))
    read = {name: readable_ones(some, made.model.pixels) for name, some in classes.items()}
    decoding = clock.lap()
    photos = photos_of(made.model, read)
    embedding = clock.lap()
    found = fit_photos(made, tuple(classes), photos, RATE)
    return found, {"decoding": decoding, "embedding": embedding, "fitting": clock.lap()}


def steps_of(work: Work) -> Callable[[int], float]:
    """Fits to the photographs so many times, or answers for one so many times."""
    if work.part not in ("fit", "predict"):
        return _refuse
    (make, _) = maker()
    folder = folder_of_photos()

    def fits(count: int) -> float:
        return float(np.mean([fitted_to(make, folder)[0].threshold for _ in range(count)]))

    if work.part == "fit":
        return fits
    mine = Recogniser(fitted_to(make, folder)[0])
    asked = first_photo(folder)

    def predicts(count: int) -> float:
        return float(np.mean([mine.predict(asked)[0].probability for _ in range(count)]))

    return predicts


def _refuse(count: int) -> float:
    raise ValueError("this is measured in parts")


def compared(work: Work, given: Arrays) -> Arrays:
    """Features [B,D] of images of the network's size, of length one and of one view."""
    del work
    embedding = load_embedding()
    images = jnp.asarray(given["x"])
    (z,) = view_features(embedding, (View(SIDE),), embedding.params, images)
    return {"features": unit(np.asarray(z))}


def parts_of(work: Work) -> Callable[[], Parts] | None:
    """What is measured one after the other; None where steps are timed."""
    makers = {"phases": _phases, "add": _adding, "many": _many, "file": _file}
    return makers[work.part](work) if work.part in makers else None


def _phases(work: Work) -> Callable[[], Parts]:
    del work
    (make, _) = maker()
    folder = folder_of_photos()

    def parts() -> Parts:
        found = fitted_to(make, folder)[1]
        return {"ms": sum(found.values()), **found}

    return parts


def _adding(work: Work) -> Callable[[], Parts]:
    """To a recogniser of all photographs one more, as if it was of a new class."""
    del work
    (make, _) = maker()
    folder = folder_of_photos()
    mine = Recogniser(fitted_to(make, folder)[0])
    photo = first_photo(folder)

    def parts() -> Parts:
        clock = Clock()
        mine.add(NEW, [photo])
        return {"ms": clock.lap()}

    return parts


def drawn_photos(work: Work, width: int) -> tuple[tuple[str, ...], Photos]:
    """Names of classes, and what would be kept of their photographs, with drawn features."""
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(work.ways, width)))
    labels = np.repeat(np.arange(work.ways), work.shots)
    own = unit(rng.normal(size=(len(labels), width)))
    z = 0.5 * unit(centres[labels] + SPREAD * own).astype(np.float32)
    names = tuple(f"{number}.jpg" for number in range(len(labels)))
    digests = tuple(hashlib.sha256(name.encode()).hexdigest() for name in names)
    classes = tuple(f"class{label:04d}" for label in range(work.ways))
    return classes, Photos(names, labels, digests, (b"",) * len(names), rounded(z))


def _many(work: Work) -> Callable[[], Parts]:
    """It is fitted once; saved, loaded and asked about a photograph in every round."""
    (make, shown) = maker()
    (classes, photos) = drawn_photos(work, len(shown.mean))
    made = make(np.full(work.ways, work.shots))
    clock = Clock()
    mine = Recogniser(fit_photos(made, classes, photos, RATE))
    fitting = clock.lap()
    asked = first_photo(folder_of_photos())

    def parts() -> Parts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "many.recogniser"
            mine.save(path)
            clock.lap()
            loaded = Recogniser.load(path)
            loading = clock.lap()
        loaded.predict(asked)  # loads the body, and compiles
        clock.lap()
        loaded.predict(asked)
        return {"ms": clock.lap(), "fitting": fitting, "loading": loading}

    return parts


def _file(work: Work) -> Callable[[], Parts]:
    del work
    (make, _) = maker()
    mine = Recogniser(fitted_to(make, folder_of_photos())[0])

    def parts() -> Parts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file.recogniser"
            clock = Clock()
            mine.save(path)
            saving = clock.lap()
            small = path.stat().st_size / 1000
            mine.save(path, include_body=True)
            return {"ms": saving, "kB": small, "kB with body": path.stat().st_size / 1000}

    return parts
