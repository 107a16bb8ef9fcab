"""The report of classifying a labelled test split."""

import re

import numpy as np
import pytest

from metalearn.evaluation.scores import Scores, scores
from metalearn.records.classified import confused_pairs, markdown

NAMES = ("apple", "pear|green", "kiwi", "melon")
LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]  # and no melon
BEFORE = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
AFTER = [0, 0, 1, 1, 0, 0, 0, 1, 2, 2, 2]


def scored(predicted: list[int]) -> Scores:
    return scores(np.eye(4, dtype=np.float32)[predicted], np.array(LABELS), NAMES)


def cells(text: str, begin: str) -> list[str]:
    """The cells of the only line of a table that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {begin}")]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_scores_before_and_after_stand_side_by_side() -> None:
    before, after = scored(BEFORE), scored(AFTER)
    text = markdown("Lite0 on fruit", before, after, ())
    assert text.startswith("# Lite0 on fruit\n\n|  | before training | after training |\n")
    both = [
        f"{100 * s.accuracy:.2f} ({100 * s.ci95_low:.2f} to {100 * s.ci95_high:.2f})"
        for s in (before, after)
    ]
    assert cells(text, "accuracy")[1:] == both and both[1].startswith("45.45 (")
    assert cells(text, "macro F1")[1:] == [f"{100 * s.macro_f1:.2f}" for s in (before, after)]
    assert cells(text, "loss")[1:] == [f"{s.loss:.4f}" for s in (before, after)]
    assert cells(text, "test images")[1:] == ["11", "11"]


def test_report_without_scores_before_training() -> None:
    text = markdown("Lite0 on fruit", None, scored(AFTER), ())
    assert "before" not in text
    assert len(cells(text, "accuracy")) == 2 and len(cells(text, "kiwi |")) == 5


def test_classes_are_sorted_by_f1_and_those_without_images_are_last() -> None:
    before, after = scored(BEFORE), scored(AFTER)
    text = markdown("fruit", before, after, ())
    lines = text[text.index("## Classes") :].splitlines()[4:]
    shown = [re.split(r"(?<!\\)\|", line)[1].strip() for line in lines]
    assert shown == ["pear\\|green", "apple", "kiwi", "melon"]
    assert cells(text, "apple |") == ["apple", "4", "40.00", "50.00", "44.44", "28.57"]
    assert cells(text, "melon |") == ["melon", "0", "–", "–", "–", "–"]


def test_most_confused_classes_come_first() -> None:
    after = scored(AFTER)
    assert confused_pairs(after) == [(3, 1, 0), (2, 0, 1), (1, 1, 2)]
    assert confused_pairs(after, most=1) == [(3, 1, 0)]
    text = markdown("fruit", None, after, ())
    at = text.index("| pear\\|green → apple | 3 of 5 |")
    assert at < text.index("| apple → pear\\|green | 2 of 4 |")


def test_report_without_mistakes_says_so() -> None:
    text = markdown("fruit", None, scored(LABELS), ())
    assert "None: all test images are classified correctly." in text and "→" not in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("confusion.png", "![confusion](confusion.png)"),
        ("worst_mistakes.png", "![worst mistakes](worst_mistakes.png)"),
        ("a b.png", "![a b](a%20b.png)"),
    ],
)
def test_pictures_are_embedded_by_relative_name(name: str, shown: str) -> None:
    assert shown in markdown("fruit", None, scored(AFTER), (name,)).splitlines()
