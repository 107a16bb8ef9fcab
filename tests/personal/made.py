"""Drawn photographs, a tiny recogniser of them, and a model that keeps pixels as they are."""

from functools import cache

import numpy as np

from metalearn.data.snapshots import Snapshot, from_pixels
from metalearn.personal.embedding import Embedder, embedding_of
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.model import Arrays, Kept, Made, Maker, Model
from metalearn.personal.probed import probed
from metalearn.personal.views import usual_views
from tests.training.tiny_body import tiny_body

SIZE = 8  # pixels a side that the tiny body is shown
PIXELS = usual_views(SIZE).pixels
NAMES = ("apple", "book", "cup", "door", "egg", "fork")
COLOURS = np.random.default_rng(7).integers(40, 216, (len(NAMES), 4, 4, 3))


def picture(label: int, number: int) -> np.ndarray:
    """Photograph `number` of a class: the class's sixteen colours, and noise of its own."""
    rng = np.random.default_rng([label, number])
    clear = np.repeat(np.repeat(COLOURS[label], 4, 0), 4, 1)
    return np.clip(clear + rng.normal(0, 25, clear.shape), 0, 255).astype(np.uint8)


def shots(label: int, number: int, first: int = 0) -> list[Snapshot]:
    """Photographs of a class, from number `first` on."""
    name = NAMES[label]
    return [
        from_pixels(picture(label, i), PIXELS, f"{name}{i}.png")
        for i in range(first, first + number)
    ]


def things(*counts: int) -> dict[str, list[Snapshot]]:
    """So many photographs of each class."""
    return {NAMES[label]: shots(label, count) for label, count in enumerate(counts)}


@cache
def tiny_embedder() -> Embedder:
    """The tiny body, compiled once for all tests."""
    embedding = embedding_of("tiny", tiny_body(), usual_views(SIZE))
    return Embedder(lambda: embedding)


def tiny_maker(method: str = "auto") -> Maker:
    """What makes models of the tiny body."""
    embedder = tiny_embedder()
    return probed(embedder.embedding.shown, embedder, method)


def tiny(*counts: int, method: str = "auto", rate: float = 0.05) -> Fitted:
    """A recogniser of so many photographs of each class."""
    return fit(tiny_maker(method), things(*counts), rate)


def pixel_maker(seen: list[np.ndarray] | None = None) -> Maker:
    """A model of class means that keeps pixels themselves.

    Args:
      seen: gets the values of every fit.
    """

    def flat(values: np.ndarray) -> np.ndarray:
        return values.reshape(len(values), -1).astype(np.float32) / 255

    def fit_means(values: np.ndarray, y: np.ndarray, classes: int) -> Arrays:
        if seen is not None:
            seen.append(values)
        return {"means": np.stack([flat(values[y == label]).mean(0) for label in range(classes)])}

    def logits(state: Arrays, values: np.ndarray) -> np.ndarray:
        return -np.square(flat(values)[:, None] - state["means"]).sum(2)

    def make(counts: np.ndarray) -> Made:
        model = Model(
            kind="pixels",
            made_of={},
            weights={},
            body=dict,
            make=make,
            pixels=PIXELS,
            calibrated=False,
            prior=1.0,
            keep=Kept,
            ask=np.asarray,
            fit=fit_means,
            logits=logits,
            vectors=lambda state, values: flat(values),
        )
        return Made(model, "means of pixels")

    return make
