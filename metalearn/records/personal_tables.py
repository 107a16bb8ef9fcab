"""The section of RESULTS.md about recognisers of few photographs, and its numbers as CSV.

The same records give the same bytes.
"""

import dataclasses
from itertools import groupby
from pathlib import Path

from metalearn.records.cells import NONE, shown
from metalearn.records.commands import commands
from metalearn.records.export import csv_text
from metalearn.records.markdown import table
from metalearn.records.personal import PERSONAL, PersonalRecord

INTRO = """## Recognisers of few photographs

What `experiments.personalise` makes, measured by `experiments.few_photos`: a line is many draws of
classes and photographs of a dataset, fitted to k training photographs of each class (or as many as
it has) and tested on all test photographs of these classes. The body saw other data. Every number
is in `results/personal.csv`.

- **method**: `auto` takes centroids below two photographs a class, and ridge regression from there.
- **what is changed**: of what `experiments.personalise` does; a dash where nothing is. Unlabelled
  photographs are of the draw's classes, and none of those that are tested.
- **accuracy %**: mean over draws ± its 95 % confidence interval (Student's t), and the range of
  draws.
- **balanced %**: mean recall of the classes, as if each had as many test photographs.
- **expected %**: what the recognisers expected of themselves, by their own photographs held out.
- **unknown**: further classes, which a recogniser should not know. **accepted %** and **false
  acceptance %** are the shares of photographs of its own and of those classes that are not answered
  as unknown, the threshold for an unknown rate of 5 % (or what is said) being chosen from the
  fitted photographs alone, or from the unlabelled ones where there are any; **right of accepted %**
  is the accuracy among the former; **AUROC** is of the one against the other.
- **fit, ms**: median milliseconds of fitting to features that are there.
"""
VIEWS = {
    "usual": "",
    "plain": "fitted photos without corners",
    "wide": "middle of 0.75 of a side, two corners of 0.8",
    "whole": "the whole photo alone",
    "one-size": "the whole photo no larger than its parts",
}
USUAL_RATE = 0.05  # of unknown photographs that may be accepted
CENTRES = {"others": "", "own": "centred by own photos alone", "none": "not centred"}


def personal_markdown(root: Path) -> str:
    """The section; empty without a record.

    Raises:
      UserError: a file that is no record.
    """
    records = sorted(PERSONAL.read_all(root), key=_place)
    sections = [_section(title, list(some)) for title, some in groupby(records, key=title_of)]
    return "\n".join([INTRO, *sections]) if sections else ""


def title_of(record: PersonalRecord) -> str:
    """What a table is about: `grocery`, or `grocery, validation photos`."""
    test = record.test
    return test.dataset if test.part == "test" else f"{test.dataset}, validation photos"


def _place(record: PersonalRecord) -> tuple:
    test = record.test
    changed = (test.views != "usual") + test.mirror + (test.centre != "others")
    moved = (test.unlabelled > 0, test.adapt, test.unlabelled)
    ways = test.ways or record.measured.classes
    own = (test.method != "auto", changed, test.method, test.views, test.centre, test.mirror)
    drawn = (ways, test.labels, test.unknown)
    return (title_of(record), *drawn, test.body, *moved, *own, test.seed)


def _section(title: str, records: list[PersonalRecord]) -> str:
    lines = [{"#": str(i)} | _cells(record) for i, record in enumerate(records, 1)]
    made = commands([[record.provenance.command] for record in records])
    return "\n".join([f"### {title}\n", table(lines), made])


def changes_of(record: PersonalRecord) -> str:
    """What differs from what `experiments.personalise` does."""
    test = record.test
    parts = [
        VIEWS.get(test.views, test.views),
        CENTRES[test.centre],
        "mirrored too" if test.mirror else "",
    ]
    if test.unknown_rate != USUAL_RATE:
        parts.append(f"an unknown rate of {100 * test.unknown_rate:g} %")
    if test.unlabelled:
        parts.append(f"{test.adapt} by up to {test.unlabelled} unlabelled photos of {test.alike}")
    return ", ".join(part for part in parts if part) or NONE


def _cells(record: PersonalRecord) -> dict[str, str]:
    (test, found) = (record.test, record.measured)
    return {
        "classes": str(found.classes),
        "k": str(test.labels),
        "body": test.body,
        "method": test.method,
        "what is changed": changes_of(record),
        "accuracy %": _accuracy(record),
        "balanced %": shown(found.balanced, 2, 100),
        "expected %": shown(found.expected, 1, 100),
        "ECE %": shown(found.ece, 1, 100),
        "unknown": str(test.unknown or NONE),
        "accepted %": shown(found.accepted, 1, 100),
        "right of accepted %": shown(found.right_of_accepted, 1, 100),
        "false acceptance %": shown(found.others_accepted, 1, 100),
        "AUROC %": shown(found.auroc, 1, 100),
        "draws": str(test.draws),
        "fit, ms": f"{found.fit_ms:.0f}",
        "device": record.provenance.device,
        "commit": record.provenance.commit[:7],
    }


def _accuracy(record: PersonalRecord) -> str:
    found = record.measured
    mean = shown(found.accuracy, 2, 100)
    if found.ci95 is None:
        return mean
    ends = (shown(found.lowest, 1, 100), shown(found.highest, 1, 100))
    return f"{mean} ± {shown(found.ci95, 2, 100)} ({ends[0]} to {ends[1]})"


def personal_csv(root: Path) -> str:
    """A line for each record, with all that was measured; empty without a record.

    Raises:
      UserError: a file that is no record.
    """
    return csv_text(
        [
            dataclasses.asdict(record.test)
            | dataclasses.asdict(record.measured)
            | {"device": record.provenance.device, "commit": record.provenance.commit}
            for record in sorted(PERSONAL.read_all(root), key=_place)
        ]
    )
