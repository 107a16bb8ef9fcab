"""Answers and recognisers as people and programs read them: text, JSON, CSV."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from metalearn.evaluation.scores import ClassScores, Scores
from metalearn.personal.answers import Answer
from metalearn.personal.evaluating import Evaluation, known_of_alike
from metalearn.personal.fitted import Expected, Fitted
from metalearn.personal.unknown import MANY, MOST

UNKNOWN = "unknown"
DIGITS = 6  # of numbers in JSON and CSV
FEW = 0.5  # share of its own photographs below which a recogniser knows too few
WIDEST = 30  # classes of a confusion matrix that is shown whole
COLUMNS = ("photo", "answer", "known", "likeliest", "probability", "familiarity", "nearest")


def said(answer: Answer) -> str:
    """The class, or `unknown`."""
    return answer.label if answer.known else UNKNOWN


def answers_text(answers: Sequence[Answer]) -> str:
    """A line for each photograph, in columns."""
    rows = [("photo", "answer", "probability", "familiarity", "looks like")]
    for one in answers:
        shown = said(one) if one.known else f"{UNKNOWN} ({one.label}?)"
        nearest = f"{one.nearest[0].name} ({one.nearest[0].label})" if one.nearest else ""
        probability = _percent(one.probability)
        rows.append((one.name, shown, probability, f"{one.familiarity:.2f}", nearest))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words, aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [zip(row, widths, strict=True) for row in rows]
    return "\n".join("  ".join(word.ljust(w) for word, w in line).rstrip() for line in lines)


def answers_json(answers: Sequence[Answer], classes: Sequence[str]) -> str:
    """A list with an object for each photograph, with the probabilities of all classes."""
    return json.dumps([_as_dict(one, classes) for one in answers], indent=1, ensure_ascii=False)


def _as_dict(answer: Answer, classes: Sequence[str]) -> dict[str, Any]:
    nearest = [
        {"photo": one.name, "class": one.label, "cosine": round(one.cosine, DIGITS)}
        for one in answer.nearest
    ]
    pairs = zip(classes, answer.probabilities.tolist(), strict=True)
    return {
        "photo": answer.name,
        "answer": said(answer),
        "known": answer.known,
        "likeliest": answer.label,
        "probability": round(answer.probability, DIGITS),
        "familiarity": round(answer.familiarity, DIGITS),
        "probabilities": {name: round(each, DIGITS) for name, each in pairs},
        "nearest": nearest,
    }


def answers_csv(answers: Sequence[Answer]) -> str:
    """A table with a row for each photograph and a heading."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in answers:
        numbers = [round(number, DIGITS) for number in (one.probability, one.familiarity)]
        nearest = one.nearest[0].name if one.nearest else ""
        known = str(one.known).lower()
        rows.writerow([one.name, said(one), known, one.label, *numbers, nearest])
    return written.getvalue()


def fitted_text(fitted: Fitted) -> str:
    """What a recogniser is, in a few lines."""
    counts = fitted.counts
    rows = [("class", "photos"), *zip(fitted.classes, map(str, counts), strict=True)]
    lines = [
        columns(rows),
        f"{len(fitted.classes)} classes, {counts.sum()} photos; made {fitted.made} with "
        f"{body_of(fitted)}{views_text(fitted)}",
        head_text(fitted),
        expected_text(fitted.expected),
        threshold_text(fitted),
    ]
    return "\n".join(lines)


def head_text(fitted: Fitted) -> str:
    """What was fitted, and to what."""
    moved = "" if fitted.alike is None else f"; features of its photos moved: {fitted.alike.said}"
    return f"head: {fitted.chosen}{moved}"


def expected_text(expected: Expected | None) -> str:
    """What a recogniser got right of its own photographs."""
    if expected is None:
        return (
            "accuracy: unknown, as each photo is alone in its class: add a second photo of each, "
            "or `evaluate` it on others"
        )
    return (
        f"accuracy expected: {_percent(expected.accuracy)} ({expected.photos} of its photos, each "
        f"held out in turn); {_percent(expected.accepted)} of them are known"
        f"{_right(expected.right_of_accepted)}; AUROC of known against unknown "
        f"classes {_percent(expected.auroc)}"
    )


def threshold_text(fitted: Fitted) -> str:
    """When a photograph is unknown."""
    if fitted.unknown_rate == 1:
        return "unknown: never, as asked for"
    known = known_of_alike(fitted)
    (by, whose) = (
        "the unlabelled photos tell, each without the class that it is taken for",
        "them",
    )
    if known is None:
        (by, whose) = ("its own classes tell, each left out in turn", "its own photos")
        known = None if fitted.expected is None else fitted.expected.accepted
    more = ""
    if known is not None and known < FEW:
        more = f"; a higher --unknown_rate knows more of {whose}, and more of others"
    share = (
        "" if fitted.alike is None else f"; {_percent(known or 0.0)} of the unlabelled are known"
    )
    rate = f"{100 * fitted.unknown_rate:g} % of photos of others should exceed"
    limit = f"which {rate}, as far as {by}"
    if fitted.threshold == MOST and len(fitted.classes) < MANY:
        limit = f"the most that is asked; what {rate} cannot be told from so few classes"
    return f"unknown: below a familiarity of {fitted.threshold:.2f}, {limit}{share}{more}"


def evaluation_text(found: Evaluation) -> str:
    """An evaluation: accuracy, unknown photographs, a line for each class, the confusion matrix."""
    whole = found.scores
    interval = f"95 % interval {_percent(whole.ci95_low)} to {_percent(whole.ci95_high)}"
    lines = [
        f"accuracy {_percent(whole.accuracy)} ({interval}, {whole.images} photos), macro recall "
        f"{_percent(whole.macro_recall)}, calibration error {_percent(whole.ece)}",
        f"known: {_percent(found.accepted)} of them{_right(found.right_of_accepted)}; the others "
        "are answered as unknown",
    ]
    if found.auroc is not None:
        lines.append(
            f"{found.others} photos of other classes: {_percent(found.others_accepted)} are taken "
            f"for one of its own; AUROC of known against unknown {_percent(found.auroc)}"
        )
    lines += ["", _class_lines(whole.classes), "", _confusion(whole)]
    return "\n".join(lines)


def _class_lines(classes: Sequence[ClassScores]) -> str:
    rows = [["class", "photos", "precision", "recall", "F1"]]
    for one in classes:
        numbers = (one.precision, one.recall, one.f1)
        shown = [_percent(number) if one.images else "-" for number in numbers]
        rows.append([one.name, str(one.images), *shown])
    return columns(rows)


def _confusion(found: Scores) -> str:
    """The confusion matrix, classes by number; of many classes the pairs that are confused."""
    names = [one.name for one in found.classes]
    if len(names) > WIDEST:
        pairs = [
            (str(images), names[true], names[answer])
            for true, row in enumerate(found.confusion)
            for answer, images in enumerate(row)
            if images and true != answer
        ]
        pairs.sort(key=lambda pair: -int(pair[0]))
        return columns([("photos", "of", "answered as"), *pairs])
    head = ("confusion (row: true, column: answer)", *map(str, range(1, len(names) + 1)))
    rows = [
        (f"{place}. {name}", *(str(images or ".") for images in row))
        for place, (name, row) in enumerate(zip(names, found.confusion, strict=True), 1)
    ]
    return columns([head, *rows])


def _right(share: float | None) -> str:
    """The share of known photographs that is right, if there are any."""
    return "" if share is None else f", {_percent(share)} of these right"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def views_text(fitted: Fitted) -> str:
    """How many views of a photograph the network is shown; nothing where it is the whole alone."""
    (shown, further, mirror) = fitted.model.made_of.get("views", ([[]], [], False))
    if len(shown) == 1 and not further and not mirror:
        return ""
    times = 2 if mirror else 1
    own = f", {times * len(shown + further)} of those fitted to" if further else ""
    return f", which is shown {times * len(shown)} views of a photo{own}"


def body_of(fitted: Fitted) -> str:
    """The name of the network whose features are used."""
    made_of = fitted.model.made_of
    return str(made_of["config"]["backbone"] if "config" in made_of else made_of["body"])
