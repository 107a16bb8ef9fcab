"""Views: the square parts of a photograph that a body is shown."""

from itertools import product
from typing import NamedTuple

from metalearn.errors import UserError
from metalearn.types import Array

PART = 0.6  # of a side, of the middle and of corners
LARGER = 1.4  # times the size, of the whole photograph
WIDE_PART = 0.75  # of a side, of the middle of `wide` views
WIDE_CORNER = 0.8  # of a side, of their corners
LARGEST = 2048  # pixels a side that a recogniser's file may ask for
LEAST = 0.05  # of a side that it may ask for
USUAL = "usual"
NAMES = (USUAL, "plain", "whole", "one-size", "wide")


class View(NamedTuple):
    """A square part of a photograph.

    Attributes:
      size: pixels a side that the body is shown.
      part: of the photograph's side.
      down: where it is, from 0 at the top to 1 at the bottom.
      across: from 0 at the left to 1 at the right.
    """

    size: int
    part: float = 1.0
    down: float = 0.5
    across: float = 0.5


class Views(NamedTuple):
    """What a body is shown of a photograph.

    Attributes:
      shown: of every photograph.
      fitted: further ones, of those that a recogniser is fitted to.
      mirror: whether each is shown a second time, mirrored.
    """

    shown: tuple[View, ...]
    fitted: tuple[View, ...] = ()
    mirror: bool = False

    @property
    def pixels(self) -> int:
        """A side of the photograph such that no view needs enlarging."""
        return max(round(view.size / view.part) for view in self.shown + self.fitted)


def usual_views(size: int, own: int = 0) -> Views:
    """All of a photograph and its middle; of fitted ones the four corners as well.

    Args:
      size: pixels a side.
      own: that the body was trained with; all of a photograph is shown at up to 1.4 times `size`,
        but no larger than this, as what is in it is smaller there than in the other views.
    """
    whole = View(max(size, min(round(LARGER * size), own)))
    corners = tuple(View(size, PART, *place) for place in product((0.0, 1.0), repeat=2))
    return Views((whole, View(size, PART)), corners)


def views_named(name: str, size: int, own: int = 0) -> Views:
    """Views by name.

    Args:
      name: one of `NAMES`: `usual`; `plain`, without the corners; `whole`, all of a photograph
        alone; `one-size`, the usual ones all of `size`; `wide`, whose middle and two corners are
        larger parts, for things that fill a small photograph.
      size: pixels a side, as of `usual_views`.
      own: as of `usual_views`.

    Raises:
      UserError: there are none of this name.
    """
    if name not in NAMES:
        raise UserError(f"no views '{name}': choose one of {', '.join(NAMES)}")
    usual = usual_views(size, own)
    corners = (View(size, WIDE_CORNER, 0.0, 0.0), View(size, WIDE_CORNER, 1.0, 1.0))
    return {
        "usual": usual,
        "plain": usual._replace(fitted=()),
        "whole": Views(usual.shown[:1]),
        "one-size": usual_views(size),
        "wide": Views((usual.shown[0], View(size, WIDE_PART)), corners),
    }[name]


def list_of(views: Views) -> list:
    """The views as JSON has them."""
    return [*([list(view) for view in some] for some in views[:2]), views.mirror]


def views_of(found: list) -> Views:
    """The views that `list_of` wrote.

    Raises:
      TypeError, ValueError, ArithmeticError: it did not write this.
    """
    (shown, fitted, mirror) = found
    return Views(_views(shown), _views(fitted), bool(mirror))


def _views(found: list) -> tuple[View, ...]:
    views = tuple(View(int(size), *map(float, rest)) for size, *rest in found)
    for view in views:
        if not (1 <= view.size <= LARGEST and LEAST <= view.part <= 1):
            raise ValueError(f"a view of {view.size} pixels of {view.part} of a side")
        if not (0 <= view.down <= 1 and 0 <= view.across <= 1):
            raise ValueError("a view outside of its photo")
    return views


def seen(images: Array, view: View) -> Array:
    """The part of images [B,H,W,3] that a view has."""
    (height, width) = images.shape[1:3]
    rows = span(height, view.part, view.down)
    columns = span(width, view.part, view.across)
    return images[:, rows, columns]


def span(side: int, part: float, place: float) -> slice:
    """Part of a side of so many pixels: from its beginning where `place` is 0, to its end at 1."""
    length = round(side * part)
    start = round((side - length) * place)
    return slice(start, start + length)
