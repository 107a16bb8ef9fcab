"""What labelling tells a person, in lines."""

from collections.abc import Mapping, Sequence

from metalearn.labelling.head import Outlook
from metalearn.labelling.pool import Looked
from metalearn.labelling.progress import Progress, Row
from metalearn.labelling.taking import NAMED, Taken
from metalearn.personal.reading import said

HEADING = ("round", "asked", "labelled", "guessed right", "labels", "accuracy expected")


def looked_notes(looked: Looked, missing: Sequence[str]) -> list[str]:
    """What is odd about a folder's photographs."""
    lines = []
    if looked.refused:
        lines.append(f"note: {said(looked.refused)}; they are left out")
    if looked.equal:
        lines.append(f"note: files that are copies of others, left out: {looked.equal}")
    return lines + missing_notes(missing)


def missing_notes(names: Sequence[str]) -> list[str]:
    """A note on photographs that were there before."""
    if not names:
        return []
    return [f"note: not there any more, their answers are kept: {_several(names)}"]


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def taken_notes(taken: Taken) -> list[str]:
    """What was out of the ordinary about answers."""
    lines = []
    if taken.corrected:
        lines.append(f"note: corrected {_several(taken.corrected)}")
    if taken.classes:
        lines.append(f"note: new classes: {', '.join(taken.classes)}")
    folded: dict[str, list[str]] = {}
    for name in taken.state.counts:
        folded.setdefault(name.casefold(), []).append(name)
    for alike in folded.values():
        if len(alike) > 1:
            lines.append(f"note: {' and '.join(alike)} are different classes")
    return lines


def counts_text(counts: Mapping[str, int]) -> str:
    """Labelled photographs of each class, the largest first, in one line."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {number}" for name, number in ordered)


def progress_text(progress: Progress, more: int) -> str:
    """How labelling goes."""
    state = progress.state
    lines = [
        f"{len(state.labelled)} labelled, {state.skipped} skipped, {len(state.open)} asked and "
        f"open, {progress.unasked} not asked about"
    ]
    if state.counts:
        width = max(map(len, state.counts))
        lines += [f"  {name:{width}}  {number}" for name, number in state.counts.items()]
    if progress.rows:
        lines += _table([HEADING, *map(_cells, progress.rows)])
    return "\n".join([*lines, outlook_text(progress.outlook, more)])


def _cells(row: Row) -> tuple[str, ...]:
    guessed = f"{row.right} of {row.guessed}" if row.guessed else "-"
    accuracy = "-" if row.accuracy is None else f"{row.accuracy:.1%}"
    number = str(row.number) if row.number else "own"
    return number, str(row.asked), str(row.labelled), guessed, str(row.labels), accuracy


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def outlook_text(found: Outlook | None, more: int) -> str:
    """How good a recogniser is, and what more labels may bring."""
    if found is None:
        return "accuracy expected: not known before two classes have two labelled photos each"
    alone = f" (but {found.alone} that are alone in their class)" if found.alone else ""
    now = f"accuracy expected: {found.accuracy:.1%}, each labelled photo{alone} held out in turn"
    if found.later is None:
        return f"{now}; what more labels bring is told from four photos a class on"
    return f"{now}; with {more} more labels about {found.later:.1%}"
