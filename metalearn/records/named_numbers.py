"""Accuracies of records by name, for texts: labelled images, few photographs, active learning."""

import re
from pathlib import Path
from statistics import median

import numpy as np

from metalearn.records.active import ACTIVE
from metalearn.records.domains_rows import DomainsRow, choices, of_defaults
from metalearn.records.domains_store import DOMAINS
from metalearn.records.labelled_store import LABELLED
from metalearn.records.personal import PERSONAL


def named_numbers(root: Path) -> dict[str, float]:
    """Accuracy, a share of 1, by `<file below root without its end>`.

    Of labelled images, without the `-seed<k>` of its name too: the median over seeds; a number
    behind that stays (`-2`: the second record of that name). Of active learning, with `@<labels>`:
    the mean over draws. Of domain adaptation, in the target: the same; with `@<validator>` or
    `@oracle`, of what that chooses of the method's settings or states.

    Raises:
      UserError: a file that is no record.
    """
    found: dict[str, float] = {}
    seeds: dict[str, list[float]] = {}
    for labelled in LABELLED.read_all(root):
        name = _name(root, labelled.path)
        found[name] = labelled.measured.accuracy
        short = re.sub(rf"-seed{labelled.config.seed}(-\d+)?$", r"\1", name)
        seeds.setdefault(short, []).append(found[name])
    found |= {name: median(values) for name, values in seeds.items()}
    for personal in PERSONAL.read_all(root):
        found[_name(root, personal.path)] = personal.measured.accuracy
    for active in ACTIVE.read_all(root):
        name = _name(root, active.path)
        means = np.array(active.measured.accuracy).mean(0)
        for labels, mean in zip(active.test.budgets, means, strict=True):
            found[f"{name}@{labels}"] = float(mean)
    for domains in DOMAINS.read_all(root):
        name = _name(root, domains.path)
        found[name] = float(of_defaults(domains, "target_accuracy").mean())
        for choice in choices([DomainsRow(domains, None)]):
            found[f"{name}@{choice.by}"] = float(choice.accuracy.mean())
    return found


def _name(root: Path, path: Path | None) -> str:
    assert path is not None  # it was read from there
    return str(path.relative_to(root).with_suffix(""))
