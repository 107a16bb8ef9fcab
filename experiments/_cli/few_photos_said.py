"""What `experiments.few_photos` found: means over draws, and the line that says them."""

import numpy as np

from metalearn.personal.study import Outcome, pooled
from metalearn.records.draws import estimate
from metalearn.records.personal import PersonalMeasured, PersonalRecord

DIGITS = 6


def measured(done: list[Outcome]) -> PersonalMeasured:
    """Means over draws."""
    evaluations = [one.evaluation for one in done]
    accuracies = np.array([one.scores.accuracy for one in evaluations])
    expected = [one.fitted.expected for one in done]
    known = [one.accuracy for one in expected if one is not None]
    aurocs = [one.auroc for one in evaluations if one.auroc is not None]
    others = np.mean([one.others_accepted for one in evaluations]) if aurocs else None
    interval = estimate(accuracies).ci95
    together = pooled(done)
    return PersonalMeasured(
        classes=len(done[0].fitted.classes),
        accuracy=_rounded(accuracies.mean()),
        ci95=_optional(interval),
        lowest=_rounded(accuracies.min()),
        highest=_rounded(accuracies.max()),
        balanced=_rounded(np.mean([one.scores.balanced_accuracy for one in evaluations])),
        ece=_rounded(together.ece),
        expected=_optional(np.mean(known) if known else None),
        accepted=_rounded(together.accepted),
        right_of_accepted=_optional(together.right_of_accepted),
        others_accepted=_optional(others),
        auroc=_optional(np.mean(aurocs) if aurocs else None),
        fit_ms=round(1000 * float(np.median([one.seconds for one in done])), 2),
    )


def _optional(value: float | np.floating | None) -> float | None:
    return None if value is None else _rounded(value)


def _rounded(value: float | np.floating) -> float:
    return round(float(value), DIGITS)


def said(record: PersonalRecord) -> str:
    """The line that a test ends with."""
    found = record.measured
    test = record.test
    interval = "" if found.ci95 is None else f" ± {100 * found.ci95:.2f}"
    line = (
        f"{test.dataset}, {found.classes}-way {test.labels}-shot, {test.method} of {test.body}: "
        f"{100 * found.accuracy:.2f}{interval} % ({100 * found.lowest:.2f} to "
        f"{100 * found.highest:.2f}, {test.draws} draws), balanced "
        f"{100 * found.balanced:.2f} %, ECE {100 * found.ece:.1f} %"
    )
    if found.expected is not None:
        line += f", expected {100 * found.expected:.2f} %"
    if found.auroc is not None and found.others_accepted is not None:
        right = (
            ""
            if found.right_of_accepted is None
            else f" ({100 * found.right_of_accepted:.1f} % right)"
        )
        line += (
            f"; known {100 * found.accepted:.1f} %{right}; unknown taken for known "
            f"{100 * found.others_accepted:.1f} %, AUROC {100 * found.auroc:.1f} %"
        )
    return f"{line}; {found.fit_ms:.0f} ms to fit"
