"""Report of classifying a labelled test split: tables and pictures, in Markdown."""

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

from metalearn.evaluation.scores import ClassScores, Scores
from metalearn.records.cells import NONE
from metalearn.records.markdown import table

MOST_PAIRS = 10  # of confused classes in the report
NOTE = """The interval is over resampled test images; it does not contain what another seed of
training would change. Macro averages are over the classes that have test images.
"""


def markdown(
    title: str,
    before: Scores | None,
    after: Scores,
    names_of_pictures: Sequence[str],
) -> str:
    """The report as a text.

    Args:
      title: its first line.
      before: scores before training, of the same test images; None if they were not measured.
      after: scores after training.
      names_of_pictures: files beside the report, shown in this order.
    """
    parts = [
        f"# {title}\n",
        _summary(before, after),
        NOTE,
        *map(_picture, names_of_pictures),
        "## Most confused classes\n",
        _confused(after),
        "## Classes, the worst F1 first\n",
        _classes(before, after),
    ]
    return "\n".join(parts)


def confused_pairs(scores: Scores, most: int = MOST_PAIRS) -> list[tuple[int, int, int]]:
    """Pairs (images, true class, predicted class), most images first; equal ones by class."""
    pairs = [
        (images, true, predicted)
        for true, row in enumerate(scores.confusion)
        for predicted, images in enumerate(row)
        if images and true != predicted
    ]
    return sorted(pairs, key=_fewness)[:most]


def _fewness(pair: tuple[int, int, int]) -> int:
    return -pair[0]


def _summary(before: Scores | None, after: Scores) -> str:
    columns = {} if before is None else {"before training": _summary_cells(before)}
    columns["after training"] = _summary_cells(after)
    return table(
        [
            {"": name} | {column: cells[name] for column, cells in columns.items()}
            for name in columns["after training"]
        ]
    )


def _summary_cells(scores: Scores) -> dict[str, str]:
    """The cells of one column of the summary, by line."""
    interval = f"{_percent(scores.ci95_low)} to {_percent(scores.ci95_high)}"
    return {
        "accuracy %, 95 % interval": f"{_percent(scores.accuracy)} ({interval})",
        "balanced accuracy % (macro recall)": _percent(scores.balanced_accuracy),
        "macro precision %": _percent(scores.macro_precision),
        "macro F1 %": _percent(scores.macro_f1),
        "calibration error %": _percent(scores.ece),
        "loss, nats": f"{scores.loss:.4f}",
        "test images": str(scores.images),
    }


def _picture(name: str) -> str:
    """The picture, by its name's words where it cannot be shown."""
    words = PurePath(name).stem.replace("_", " ").replace("-", " ")
    return f"![{words}]({quote(name)})\n"


def _confused(scores: Scores) -> str:
    classes = scores.classes
    lines = [
        {
            "true → predicted": f"{classes[true].name} → {classes[predicted].name}",
            "images": f"{images} of {classes[true].images}",
        }
        for images, true, predicted in confused_pairs(scores)
    ]
    return table(lines) if lines else "None: all test images are classified correctly.\n"


def _classes(before: Scores | None, after: Scores) -> str:
    """A line for each class, by ascending F1; those without test images are the last."""
    lines = []
    for label, one in sorted(enumerate(after.classes), key=_place):
        line = {
            "class": one.name,
            "images": str(one.images),
            "precision %": _score(one, one.precision),
            "recall %": _score(one, one.recall),
            "F1 %": _score(one, one.f1),
        }
        if before is not None:
            line["F1 % before"] = _score(one, before.classes[label].f1)
        lines.append(line)
    return table(lines)


def _place(numbered: tuple[int, ClassScores]) -> tuple[bool, float]:
    one = numbered[1]
    return one.images == 0, one.f1


def _score(one: ClassScores, value: float) -> str:
    """A dash where the class has no test image to score."""
    return _percent(value) if one.images else NONE


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"
