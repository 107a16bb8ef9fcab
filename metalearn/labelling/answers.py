"""Answers in a CSV, as a spreadsheet may have saved it, and in folders that a person sorted."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from metalearn.data.snapshots import find_labelled
from metalearn.data.tree import printable
from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.labelling.folder import digest_of
from metalearn.labelling.given import Given, label_name, read_text
from metalearn.labelling.sheet import Tile

PHOTO, LABEL = "photo", "label"
COLUMNS = ("number", PHOTO, LABEL, "guess")
DELIMITERS = (",", ";", "\t")


def write_questions(tiles: Sequence[Tile], path: Path) -> None:
    """Write the CSV that a person puts labels into; with a mark by which spreadsheets know UTF-8.

    Raises:
      UserError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for tile in tiles:
        writer.writerow([tile.number, tile.name, "", tile.guess or ""])
    write_whole(path, lambda file: file.write(text.getvalue().encode("utf-8-sig")))


def read_answers(path: Path) -> list[Given]:
    """The answers of a CSV with the columns photo and label; rows without a label are left out.

    Commas, semicolons or tabs between columns, in any encoding of `read_text`.

    Raises:
      UserError: it cannot be read, or lacks a column.
    """
    lines = read_text(path).split("\n")
    name = printable(path.name)
    skipped = 0
    while skipped < len(lines) and _before_heading(lines[skipped]):
        skipped += 1
    if skipped == len(lines):
        raise UserError(f"{name} is empty: its first row has to name the columns photo and label")
    (delimiter, heading) = _heading(lines[skipped], name)
    reader = csv.reader(io.StringIO("\n".join(lines[skipped:]), newline=""), delimiter=delimiter)
    found = []
    try:
        for row in reader:
            if reader.line_num == 1:
                continue
            where = f"row {reader.line_num + skipped} of {name}"
            found += _answer(row, heading, where)
    except csv.Error as error:
        raise UserError(f"{name}, row {reader.line_num + skipped}: {error}") from error
    return found


def _before_heading(line: str) -> bool:
    """Whether a line says nothing: blank, or what Excel writes of the delimiter."""
    return not line.strip() or line.lower().startswith("sep=")


def _heading(line: str, name: str) -> tuple[str, list[str]]:
    """The delimiter and the columns.

    Raises:
      UserError: photo and label are not among them.
    """
    for delimiter in DELIMITERS:
        try:
            (row,) = list(csv.reader([line], delimiter=delimiter))[:1] or [[]]
        except csv.Error:  # longer than any heading
            continue
        heading = [each.strip().lower() for each in row]
        if heading.count(PHOTO) == 1 and heading.count(LABEL) == 1:
            if any(other in each for each in heading for other in DELIMITERS):
                raise UserError(
                    f"{name} has two kinds of delimiters: its columns were not split when it was "
                    "opened; open it again, split by commas, and fill in the column label"
                )
            return delimiter, heading
    raise UserError(
        f"{name} has no columns photo and label: its first row has to name them, as that of the "
        "file which `active next` writes"
    )


def _answer(row: list[str], heading: list[str], where: str) -> list[Given]:
    """The answer of a row; none where there is no label.

    Raises:
      UserError: a label for no photograph, or more cells than the heading has.
    """
    if any(cell.strip() for cell in row[len(heading) :]):
        raise UserError(f"{where} has more cells than the first row: write the class into 'label'")
    values = dict(zip(heading, row, strict=False))
    label = label_name(values.get(LABEL, ""))
    photo = printable(values.get(PHOTO, ""))
    if not label:
        return []
    if not photo.strip():
        raise UserError(f"{where} has the label {label!r}, but no photo: name one, or empty it")
    return [Given(where, photo, label)]


def read_sorted(folder: Path, state: Path) -> list[Given]:
    """The answers of photographs that a person put into `FOLDER/CLASS/`; not those of the state.

    Raises:
      UserError: no class folder with a photograph, or one that cannot be read.
    """
    found = []
    own = state.resolve()
    for name, paths in find_labelled(folder).items():
        label = label_name(name)
        if not label:
            shown = printable(str(folder))
            raise UserError(f"{shown} has a class folder whose name is blank: give it another")
        for path in paths:
            if path.resolve().is_relative_to(own):
                continue
            shown = printable(path.relative_to(folder).as_posix())
            found.append(Given(shown, printable(path.name), label, digest_of(path)))
    return found
