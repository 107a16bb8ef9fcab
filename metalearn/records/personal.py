"""Records of recognisers of few photographs: settings, means over draws, origin."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from metalearn.errors import UserError
from metalearn.records.kinds import Kind
from metalearn.records.record import Provenance, short_digest


@dataclass(frozen=True)
class PersonalTest:
    """What was tested: the dataset, how photographs become answers, and what was drawn.

    Attributes:
      dataset: by name.
      part: of its photographs that answers are tested on: `test`, or `valid`, to choose by.
      body: by name.
      weights: first digits of the SHA-256 of its weights.
      views: which views of a photograph, by name.
      mirror: whether each view was shown mirrored as well.
      centre: what features were centred by: `others` (and own photographs), `own`, `none`.
      method: head, or `auto`.
      ways: classes of a recogniser; 0 for all.
      labels: photographs of each that it was fitted to, or as many as there were.
      unknown: classes left out, whose photographs it should not know.
      draws: recognisers.
      seed: of the draws.
      unknown_rate: share of unknown photographs that was to be accepted.
      unlabelled: photographs like the test's that were given without labels, at most; 0 for none.
      adapt: how those that were fitted to were moved among these; '' without any.
      alike: dataset of these; '' without any.
    """

    dataset: str
    part: str
    body: str
    weights: str
    views: str
    mirror: bool
    centre: str
    method: str
    ways: int
    labels: int
    unknown: int
    draws: int
    seed: int
    unknown_rate: float
    unlabelled: int = 0
    adapt: str = ""
    alike: str = ""


@dataclass(frozen=True)
class PersonalMeasured:
    """What was measured: means over the draws, shares of 1.

    Attributes:
      classes: of a recogniser.
      accuracy: of test photographs of its classes.
      ci95: half the width of the 95 % confidence interval of that mean over draws; None of one.
      lowest, highest: accuracy of a draw.
      balanced: mean recall of classes, as if each had as many test photographs.
      ece: expected calibration error over the photographs of all draws.
      expected: accuracy that recognisers expected, by their own photographs held out in turn; None
        where each was alone in its class.
      accepted: of test photographs of its classes, in all draws together, those that were not taken
        for unknown.
      right_of_accepted: of these, right ones; None where none was accepted.
      others_accepted: of photographs of the unknown classes, those that were taken for known; None
        without such classes.
      auroc: probability that a photograph of its classes was more familiar than another; None
        without such classes.
      fit_ms: median milliseconds of fitting, once there were features.
    """

    classes: int
    accuracy: float
    ci95: float | None
    lowest: float
    highest: float
    balanced: float
    ece: float
    expected: float | None
    accepted: float
    right_of_accepted: float | None
    others_accepted: float | None
    auroc: float | None
    fit_ms: float


@dataclass(frozen=True)
class PersonalRecord:
    """One test of recognisers of few photographs.

    Attributes:
      test: what was tested.
      measured: the results.
      provenance: where the numbers come from.
      path: the file that it was read from; None before it is written.
    """

    test: PersonalTest
    measured: PersonalMeasured
    provenance: Provenance
    path: Path | None = None

    @property
    def identity(self) -> str:
        """A digest of all that makes two tests the same."""
        return short_digest([dataclasses.asdict(self.test), self.provenance.images])


def _place(record: PersonalRecord) -> tuple[str, str]:
    test = record.test
    ways = f"{test.ways}w" if test.ways else "all"
    changed = [test.method]
    changed += [test.views] if test.views != "usual" else []
    changed += ["mirror"] if test.mirror else []
    changed += [f"centre-{test.centre}"] if test.centre != "others" else []
    changed += [f"{test.adapt}{test.unlabelled}"] if test.unlabelled else []
    changed += [test.part] if test.part != "test" else []
    changed += [f"{test.unknown}unknown"] if test.unknown else []
    return test.dataset, f"{test.body}-{ways}{test.labels}k-{'-'.join(changed)}-seed{test.seed}"


def _check(record: PersonalRecord) -> None:
    for name, value in dataclasses.asdict(record.measured).items():
        most = math.inf if name in ("classes", "fit_ms") else 1
        if value is not None and not 0 <= value <= most:
            raise UserError(f"wrong or missing {name}")


PERSONAL = Kind("personal", PersonalRecord, _place, _check)
