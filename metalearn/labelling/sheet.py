"""Contact sheets: the photographs that are asked about, with their numbers, as PNG."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from metalearn.data.decode import Unreadable
from metalearn.data.snapshots import read_snapshot
from metalearn.files import write_whole

TILE = 220  # pixels a side of a photograph
CAPTION = 40  # pixels below it
GAP = 14  # pixels around each
COLUMNS = 5
ROWS = 6  # of a page
LETTERS = 26  # of a name that fit below a photograph
INK = (30, 34, 40)
FAINT = (110, 116, 126)
PAPER = (255, 255, 255)
EMPTY = (226, 228, 232)


class Tile(NamedTuple):
    """A photograph on a sheet.

    Attributes:
      number: as in the CSV.
      name: of its file.
      path: of its file.
      guess: its likely class; None where nothing is known.
    """

    number: int
    name: str
    path: Path
    guess: str | None


def write_sheets(tiles: Sequence[Tile], folder: Path, stem: str) -> list[Path]:
    """Write the pages, and remove those of an earlier time; the paths, in their order.

    Args:
      tiles: photographs, in their order.
      folder: of the pages, `stem-1.png` and so on.
      stem: of their names.

    Raises:
      UserError: one cannot be written.
    """
    pages = list(_pages(tiles))
    paths = [folder / f"{stem}-{number}.png" for number in range(1, len(pages) + 1)]
    for page, path in zip(pages, paths, strict=True):
        picture = draw_page(page)
        write_whole(path, partial(picture.save, format="PNG"))
    for old in folder.glob(f"{stem}-*.png"):
        if old not in paths and old.stem.removeprefix(f"{stem}-").isdecimal():
            old.unlink(missing_ok=True)
    return paths


def _pages(tiles: Sequence[Tile]) -> Iterator[Sequence[Tile]]:
    for start in range(0, len(tiles), COLUMNS * ROWS):
        yield tiles[start : start + COLUMNS * ROWS]


def draw_page(tiles: Sequence[Tile]) -> Image.Image:
    """A page of at most 5 x 6 photographs."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // COLUMNS)
    size = (GAP + columns * (TILE + GAP), GAP + rows * (TILE + CAPTION + GAP))
    page = Image.new("RGB", size, PAPER)
    for place, tile in enumerate(tiles):
        (row, column) = divmod(place, COLUMNS)
        left = GAP + column * (TILE + GAP)
        _draw(page, tile, left, GAP + row * (TILE + CAPTION + GAP))
    return page


def _draw(page: Image.Image, tile: Tile, left: int, top: int) -> None:
    pen = ImageDraw.Draw(page)
    try:
        page.paste(Image.fromarray(read_snapshot(tile.path, TILE).pixels), (left, top))
    except Unreadable:  # by now: it could be read when it was chosen
        pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), fill=EMPTY)
    number = str(tile.number)
    large = ImageFont.load_default(20)
    small = ImageFont.load_default(13)
    pen.text((left, top + TILE + 4), number, INK, large)
    begin = left + int(pen.textlength(number, large)) + 8
    pen.text((begin, top + TILE + 4), _shortened(tile.name), INK, small)
    if tile.guess:
        pen.text((begin, top + TILE + 21), f"{_shortened(tile.guess)}?", FAINT, small)


def _shortened(name: str) -> str:
    """The end of a name, which tells files apart."""
    return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}"
