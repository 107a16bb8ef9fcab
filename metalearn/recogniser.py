"""Recognisers of a person's own things: fitted to a few photographs, kept in one file.

fit        photographs of each class -> a recogniser
predict    what other photographs show, or that they show none of this
add        photographs of a new class, or more of one, in seconds
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from metalearn.data.snapshots import Snapshot, find_labelled, find_photos
from metalearn.domains.moved import RECENTRE
from metalearn.errors import UserError
from metalearn.personal.answers import Answer, answer
from metalearn.personal.changing import added, removed
from metalearn.personal.embedding import BODY, Embedder, load_embedding
from metalearn.personal.fitted import Expected, Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.heads import AUTO
from metalearn.personal.opening import load_fitted, save_fitted
from metalearn.personal.probed import probed
from metalearn.personal.reading import Photo, check_name, named, snapshots_of
from metalearn.personal.unknown import RATE
from metalearn.personal.unlabelled import Unlabelled
from metalearn.personal.views import USUAL, Views


class Recogniser:
    """Tells the classes that it was fitted to, and what is none of them.

    Nothing changes a recogniser: `add` and `remove` give another one.

    Args:
      fitted: what it consists of; see `fit` and `load`.

    Example: photographs in memory, here of one colour each.

        >>> import numpy as np
        >>> from metalearn.recogniser import Recogniser
        >>> red, blue = np.zeros((2, 64, 64, 3), np.uint8)
        >>> red[..., 0] = blue[..., 2] = 255
        >>> mine = Recogniser.fit({"red": [red, red // 2], "blue": [blue, blue // 2]})
        >>> [answer.label for answer in mine.predict([red // 3 * 2, blue // 3 * 2])]
        ['red', 'blue']
    """

    def __init__(self, fitted: Fitted):
        self.fitted = fitted

    @classmethod
    def fit(
        cls,
        photos: str | Path | Mapping[str, Sequence[Photo]],
        method: str = AUTO,
        body: str = BODY,
        weights: str | Path | None = None,
        views: Views | str = USUAL,
        unknown_rate: float = RATE,
        unlabelled: str | Path | Sequence[Photo] | None = None,
        adapt: str = RECENTRE,
    ) -> "Recogniser":
        """A recogniser of some classes.

        Args:
          photos: a folder, `FOLDER/CLASS/*.jpg`; or photographs of each class: files, arrays uint8
            [H,W,3] or images of Pillow.
          method: `centroid`, `ridge` or `logistic`; `auto` takes ridge regression from two
            photographs a class, in the mean.
          body: key of `metalearn.models.zoo.BODIES`.
          weights: its file; those that are installed by default.
          views: what the body is shown of a photograph, or its name: `usual`, or `wide` where
            things fill small photographs; see `metalearn.personal.views.views_named`.
          unknown_rate: share of photographs of other classes that may be accepted, in (0, 1].
          unlabelled: photographs like those that will be asked, or their folder, where `photos` are
            of another kind, such as product pictures; None where they are alike.
          adapt: how the features of `photos` are moved among these: `recentre`, `coral` or
            `transport`.

        Raises:
          UserError: photographs that cannot be read, fewer than two classes, a class without
            photographs, fewer than five unlabelled ones; or as `load_embedding`.
        """
        classes = find_labelled(Path(photos)) if isinstance(photos, str | Path) else photos
        classes = named(classes)
        embedding = load_embedding(body, weights, views)
        size = embedding.shown.views.pixels
        snapshots = {name: snapshots_of(some, size) for name, some in classes.items()}
        maker = probed(embedding.shown, Embedder(lambda: embedding), method)
        others: Sequence[Photo] | None = (
            find_photos(Path(unlabelled)) if isinstance(unlabelled, str | Path) else unlabelled
        )
        alike = None if others is None else Unlabelled(snapshots_of(others, size), adapt)
        return cls(fit(maker, snapshots, unknown_rate, alike))

    @classmethod
    def load(cls, path: str | Path, weights: str | Path | None = None) -> "Recogniser":
        """The recogniser of a file.

        Args:
          path: of the file.
          weights: the file of its body's weights; those in the file, or installed, by default.

        Raises:
          UserError: it is not there, damaged or of a newer version.
        """
        return cls(load_fitted(Path(path), weights))

    def save(self, path: str | Path, include_body: bool = False) -> None:
        """Write it to a file, with the body's weights if they are to be included.

        Raises:
          UserError: it cannot be written.
        """
        save_fitted(self.fitted, Path(path), include_body)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.fitted.classes

    @property
    def pixels(self) -> int:
        """A side of the square that is cut from a photograph."""
        return self.fitted.model.pixels

    @property
    def expected(self) -> Expected | None:
        """What it got right of its own photographs, each held out in turn; None if it cannot be."""
        return self.fitted.expected

    def predict(self, photos: Photo | Iterable[Photo]) -> list[Answer]:
        """What photographs show.

        Args:
          photos: files, folders, arrays uint8 [H,W,3], images of Pillow, or one of these.

        Raises:
          UserError: one cannot be read.
        """
        several: list[Photo]
        if isinstance(photos, str | Path | np.ndarray | Image.Image):
            several = [photos]
        elif isinstance(photos, Iterable):
            several = list(photos)
        else:
            raise UserError(f"{type(photos).__name__} is no photo: give a file, an array, an image")
        found: list[Photo] = []
        for photo in several:
            found += find_photos(Path(photo)) if isinstance(photo, str | Path) else [photo]
        return answer(self.fitted, snapshots_of(found, self.pixels))

    def answer(self, snapshots: Sequence[Snapshot]) -> list[Answer]:
        """What photographs show that are read already."""
        return answer(self.fitted, snapshots)

    def add(self, name: str, photos: Sequence[Photo]) -> "Recogniser":
        """The recogniser with photographs of a new class, or with more of one.

        Args:
          name: of the class.
          photos: as of `predict`, but no folders.

        Raises:
          UserError: one cannot be read, or the name is no text.
        """
        check_name(name)
        return Recogniser(added(self.fitted, {name: snapshots_of(photos, self.pixels)}))

    def remove(self, name: str) -> "Recogniser":
        """The recogniser without a class.

        Raises:
          UserError: there is no such class, or only one other.
        """
        return Recogniser(removed(self.fitted, name))
