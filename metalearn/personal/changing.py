"""A recogniser with more photographs, or with fewer classes."""

from collections.abc import Mapping, Sequence

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.data.tree import label_of
from metalearn.errors import UserError
from metalearn.personal.fitted import Fitted, Photos
from metalearn.personal.fitting import fit_photos, photos_of


def learned_elsewhere(
    fitted: Fitted, name: str, snapshots: Sequence[Snapshot]
) -> list[tuple[Snapshot, str]]:
    """Photographs that another class than this has already, each with that class."""
    given = {snapshot.digest: snapshot for snapshot in snapshots}
    pairs = sorted(zip(fitted.photos.labels, fitted.photos.digests, strict=True))
    return [
        (given[digest], fitted.classes[label])
        for label, digest in pairs
        if digest in given and fitted.classes[label] != name
    ]


def added(fitted: Fitted, classes: Mapping[str, Sequence[Snapshot]]) -> Fitted:
    """The recogniser that all photographs together would have given.

    A photograph that its class has already (the same file) is left out. Where those that were
    fitted to were moved among unlabelled ones, new ones stay where they are, as of the kind that
    is asked: it is not what all together would have given.

    Args:
      fitted: the recogniser before.
      classes: photographs of new classes, or more of those there are.

    Raises:
      UserError: as `metalearn.personal.fitting.fit`.
    """
    named = {class_like(fitted.classes, name): some for name, some in classes.items()}
    new = {name: _unseen(fitted, name, some) for name, some in named.items()}
    new = {name: some for name, some in sorted(new.items()) if some}
    if not new:
        return fitted
    more = photos_of(fitted.model, new)
    names = tuple(sorted({*fitted.classes, *new}))
    of_old = [names.index(name) for name in fitted.classes]
    of_new = [names.index(name) for name in new]
    photos = fitted.photos
    labels = np.concatenate([np.take(of_old, photos.labels), np.take(of_new, more.labels)])
    both = Photos(
        names=photos.names + more.names,
        labels=labels,
        digests=photos.digests + more.digests,
        thumbnails=photos.thumbnails + more.thumbnails,
        kept=photos.kept.with_others(more.kept),
    )
    return _fitted_again(fitted, names, both, np.arange(len(labels)))


def removed(fitted: Fitted, name: str) -> Fitted:
    """The recogniser without a class.

    Raises:
      UserError: it has no such class, or only one other.
    """
    name = class_like(fitted.classes, name)
    if name not in fitted.classes:
        raise UserError(f"no class {name!r}: it has {', '.join(fitted.classes)}")
    names = tuple(other for other in fitted.classes if other != name)
    place = fitted.classes.index(name)
    labels = fitted.photos.labels
    (rows,) = np.nonzero(labels != place)
    photos = fitted.photos._replace(labels=labels - (labels > place))
    return _fitted_again(fitted, names, photos, rows)


def class_like(classes: Sequence[str], name: str) -> str:
    """The class of that name, however its accents and spaces are written; a new one's name else."""
    if name in classes:
        return name
    alike = [each for each in classes if label_of(each) == label_of(name)]
    return alike[0] if alike else label_of(name)


def _unseen(fitted: Fitted, name: str, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The snapshots that a class does not have yet."""
    photos = fitted.photos
    pairs = zip(photos.digests, photos.labels, strict=True)
    seen = {digest for digest, label in pairs if fitted.classes[label] == name}
    found: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        if snapshot.digest not in seen:
            found.setdefault(snapshot.digest, snapshot)
    return list(found.values())


def _fitted_again(
    fitted: Fitted, names: tuple[str, ...], photos: Photos, rows: np.ndarray
) -> Fitted:
    """Fit to these rows of photographs."""
    labels = photos.labels[rows]
    chosen = Photos(
        names=tuple(photos.names[row] for row in rows),
        labels=labels,
        digests=tuple(photos.digests[row] for row in rows),
        thumbnails=tuple(photos.thumbnails[row] for row in rows),
        kept=photos.kept.at(rows),
    )
    made = fitted.model.make(np.bincount(labels, minlength=len(names)))
    return fit_photos(made, names, chosen, fitted.unknown_rate, fitted.alike)
