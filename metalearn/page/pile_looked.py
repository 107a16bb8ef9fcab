"""Features of photographs, those of a pile and those that a session has, as questions need them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metalearn.data.alike import groups_of
from metalearn.data.snapshots import Snapshot
from metalearn.errors import UserError
from metalearn.labelling.pool import Looked, small_copy
from metalearn.page.session import Session
from metalearn.personal.model import Model

NOBODY = np.zeros(0, int)


class Seen(NamedTuple):
    """Photographs whose features are known.

    Attributes:
      names: of their files.
      digests: SHA-256 of their files.
      z: float32 [N,D], features less the mean of others; None without any.
      small: copies of those that are not learned, by digest, to see which hardly differ.
      alike: int [N], the same number for photographs that hardly differ.
    """

    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    z: np.ndarray | None = None
    small: Mapping[str, np.ndarray] = {}
    alike: np.ndarray = NOBODY

    def only(self, digests: Collection[str]) -> "Seen":
        """The same without photographs of other digests."""
        rows = [row for row, digest in enumerate(self.digests) if digest in digests]
        if len(rows) == len(self.digests):
            return self
        return Seen(
            names=tuple(self.names[row] for row in rows),
            digests=tuple(self.digests[row] for row in rows),
            z=None if self.z is None or not rows else self.z[rows],
            small={digest: one for digest, one in self.small.items() if digest in digests},
            alike=self.alike[rows],
        )

    @property
    def looked(self) -> Looked | None:
        """The same, as `ask` takes it; None without any."""
        if self.z is None:
            return None
        return Looked(self.names, self.digests, self.z, self.alike, 0, ())


def seeing(seen: Seen, shots: Sequence[Snapshot], model: Model) -> Seen:
    """What is seen with further photographs.

    Raises:
      UserError: the model has no features.
    """
    new = {shot.digest: shot for shot in shots if shot.digest not in seen.digests}
    if not new:
        return seen
    kept = model.keep(np.stack([shot.pixels for shot in new.values()]))
    if kept.low is None:
        raise UserError("this recogniser's learner has no features: label a pile without it")
    small = {**seen.small, **{digest: small_copy(shot) for digest, shot in new.items()}}
    names = tuple(shot.name for shot in new.values())
    return _with(seen._replace(small=small), names, tuple(new), kept.values)


def seeing_session(seen: Seen, session: Session, model: Model) -> Seen:
    """What is seen with the photographs of a session, learned ones by the features it keeps."""
    waiting = [shot for some in session.waiting.values() for shot in some]
    seen = seeing(seen, waiting, model)
    if session.fitted is None or session.fitted.photos.kept.low is None:
        return seen
    photos = session.fitted.photos
    known = set(seen.digests)
    rows = [row for row, digest in enumerate(photos.digests) if digest not in known]
    if not rows:
        return seen
    names = tuple(photos.names[row] for row in rows)
    digests = tuple(photos.digests[row] for row in rows)
    return _with(seen, names, digests, photos.kept.at(np.array(rows)).values)


def _with(seen: Seen, names: tuple[str, ...], digests: tuple[str, ...], z: np.ndarray) -> Seen:
    """What is seen with features of further photographs; copies of them are there, if at all."""
    both = (*seen.digests, *digests)
    alike = np.arange(len(both)) + len(both)  # of learned ones nothing is kept to compare
    there = [row for row, digest in enumerate(both) if digest in seen.small]
    if there:
        alike[there] = groups_of(np.stack([seen.small[both[row]] for row in there]), near=True)
    values = z if seen.z is None else np.concatenate([seen.z, z])
    return Seen((*seen.names, *names), both, values, seen.small, alike)


def labels_of(session: Session) -> Iterator[tuple[str, str]]:
    """Digest and class of each photograph that a session has, learned or not."""
    if session.fitted is not None:
        photos = session.fitted.photos
        for digest, label in zip(photos.digests, photos.labels, strict=True):
            yield digest, session.fitted.classes[label]
    for name, shots in session.waiting.items():
        for shot in shots:
            yield shot.digest, name
