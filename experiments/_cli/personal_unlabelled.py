"""Unlabelled photographs of `experiments.personalise fit`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli.define import FLAGS
from metalearn.data.snapshots import find_photos
from metalearn.domains.moved import RECENTRE, TRANSPORT
from metalearn.errors import UserError
from metalearn.personal.reading import readable_ones
from metalearn.personal.unlabelled import TRANSPORTED, Unlabelled, check_number


def find_unlabelled() -> list[Path] | None:
    """The files of --unlabelled; None without it.

    Raises:
      UserError: no such folder, or too few photos; --adapt without --unlabelled.
    """
    if FLAGS.unlabelled is None:
        if FLAGS["adapt"].present:
            raise UserError("--adapt says how photos are moved among others: give --unlabelled=DIR")
        return None
    if not FLAGS.unlabelled:
        raise UserError("--unlabelled names no folder: give one, or leave it out")
    paths = find_photos(Path(FLAGS.unlabelled))
    check_number(len(paths))
    return paths


def read_unlabelled(paths: Sequence[Path] | None, size: int, classes: int) -> Unlabelled | None:
    """The photographs of these files; None of none.

    Args:
      paths: as `find_unlabelled` gave them.
      size: pixels a side.
      classes: that are labelled.

    Raises:
      UserError: photos that cannot be read.
    """
    if paths is None:
        return None
    photos = readable_ones(paths, size, Path(FLAGS.unlabelled))
    least = TRANSPORTED * classes
    if FLAGS.adapt == TRANSPORT and len(photos) < least:
        few = f"transport of {classes} classes among {len(photos)} unlabelled photos"
        print(
            f"note: {few}: below {least} of them, --adapt={RECENTRE} may be better", file=sys.stderr
        )
    return Unlabelled(photos, FLAGS.adapt)
