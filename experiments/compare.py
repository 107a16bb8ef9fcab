"""Compare two trained runs on the same test episodes, paired.

`python -m experiments.compare RUN_A RUN_B [--shots=5] [--episodes=…] [--test_norms=…]`. Ways, shots
and queries are those of RUN_A unless given. Each run is tested under all its method's
normalisations; a test that was made before is read.
"""

import dataclasses
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.flags import check_of, define, test_settings_given
from experiments._cli.lab import check_few_shot, tested_lab
from experiments._cli.program import made_in
from experiments._cli.start import start
from metalearn.errors import UserError
from metalearn.records.names import method_of, tested_on
from metalearn.records.record import Record
from metalearn.records.store import read_counts
from metalearn.records.workdir import read_workdir
from metalearn.retest import test_again

EPISODES = ("ways", "shots", "queries", "eval_seed", "episodes")


class Tested(NamedTuple):
    """A run, tested under one normalisation.

    Attributes:
      name: method, backbone and normalisation.
      record: of the test.
      accuracies: float [E], of each episode.
      images: of the test split.
    """

    name: str
    record: Record
    accuracies: np.ndarray
    images: np.ndarray


def tests(workdir: Path, settings: dict) -> list[Tested]:
    """A run's tests with these settings, read if they were made before.

    Raises:
      UserError: the run cannot be tested so, or its counts cannot be read.
    """
    run = read_workdir(workdir)
    trained = run.config
    config = dataclasses.replace(trained, **settings)
    lab = tested_lab(config, workdir)
    changed = [
        f"--{name}={value}" for name, value in settings.items() if value != getattr(trained, name)
    ]
    command = shlex.join(
        ["python", "-m", "experiments.evaluate", *changed, f"--workdir={made_in(run, workdir)}"]
    )
    found = []
    for record in test_again(config, lab, workdir, command):
        assert record.path is not None  # it is in the run's folder
        counts = read_counts(record.path)
        name = f"{method_of(record.config)} {record.config.backbone} ({record.test.norm})"
        found.append(
            Tested(name, record, counts / (config.ways * config.queries), lab.dataset.test.images)
        )
    return found


def compared(a: Tested, b: Tested) -> str:
    """Both accuracies, their difference with its paired 95 % CI, the p-value of a paired t-test.

    Raises:
      UserError: the two were tested on different images.
    """
    if a.record.test.episode_hash != b.record.test.episode_hash or not np.array_equal(
        a.images, b.images
    ):
        raise UserError(
            "the two runs are tested on different images: compare runs of one dataset and class "
            "split"
        )
    differences = a.accuracies - b.accuracies
    half = 1.96 * differences.std(ddof=1) / len(differences) ** 0.5
    width = f"{100 * differences.mean():+.2f} ± {100 * half:.2f} points (95 % CI, paired)"
    p = stats.ttest_rel(a.accuracies, b.accuracies).pvalue if differences.any() else 1.0
    each = "; ".join(f"{t.name} {measured(t.record)}" for t in (a, b))
    return f"{each}; difference {width}, p = {p:.2g}"


def measured(record: Record) -> str:
    """`58.20 ± 0.21 %`."""
    return f"{100 * record.measured.accuracy:.2f} ± {100 * record.measured.ci95:.2f} %"


def main(run_a: str, run_b: str) -> None:
    """Tests both runs, and compares every normalisation of one with every one of the other.

    Raises:
      UserError: a run cannot be tested so, or the two were tested on different images.
    """
    first, second = (read_workdir(Path(run)).config for run in (run_a, run_b))
    given = test_settings_given()
    for folder, run in ((run_a, first), (run_b, second)):
        check_few_shot(folder, run)
        check_of(given, run.method)
    settings = {name: getattr(first, name) for name in EPISODES} | given
    tested_a = tests(Path(run_a), settings)
    tested_b = tests(Path(run_b), settings)
    shape = f"{settings['ways']}-way {settings['shots']}-shot"
    print(
        f"{tested_on(tested_a[0].record.config)} {shape}, {settings['episodes']} test episodes "
        f"{tested_a[0].record.test.episode_hash}; intervals are over episodes of these two "
        "trainings, others of the same kind differ"
    )
    for a in tested_a:
        for b in tested_b:
            print(compared(a, b))


if __name__ == "__main__":
    define(None)
    start(main, ("RUN_A", "RUN_B"))
