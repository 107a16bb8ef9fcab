"""Records of simulated active learning: settings, accuracy after each round, origin."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalearn.active.trial import Round
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.kinds import Kind
from metalearn.records.labelled_store import official_name
from metalearn.records.names import body_of
from metalearn.records.record import (
    Provenance,
    Stage,
    all_stages,
    lineage_to_json,
    settings,
    short_digest,
)

BASELINE = "random"  # strategy that others are compared with


@dataclass(frozen=True)
class ActiveTest:
    """How labels were asked for, beyond the settings of body and images.

    Attributes:
      strategy: that chose the images.
      classifier: that was fitted to the labelled features.
      budgets: labels known after each round.
      pool: images of the pool, drawn by each seed; 0 for all.
      balanced: whether choices were evened out over classes.
      distinct: whether images that show the same as a labelled one were left out.
      draws: seeds, from that of the settings on.
      images_hash: of the positions of the images that labels were asked for and that were tested.
      images: of the test.
      stop: agreement of answers from which on no more labels were asked for; 0 for never.
    """

    strategy: str
    classifier: str
    budgets: list[int]
    pool: int
    balanced: bool
    distinct: bool
    draws: int
    images_hash: str
    images: int
    stop: float = 0.0


@dataclass(frozen=True)
class ActiveMeasured:
    """What was measured: a list for each draw, with a number for each round.

    Attributes:
      accuracy: of the test images, share of 1.
      macro_recall: mean recall of the classes, share of 1.
      classes: that have a labelled image.
      agreement: Cohen's kappa of a head's answers for the pool and those of the head before; the
        first round has none, so a list is shorter by one.
      pick_s: seconds of choosing; the first draw of a process compiles.
      fit_s: seconds of fitting.
      labels: that were known; those of the budgets where the list is empty.
    """

    accuracy: list[list[float]]
    macro_recall: list[list[float]]
    classes: list[list[int]]
    agreement: list[list[float]]
    pick_s: list[list[float]]
    fit_s: list[list[float]]
    labels: list[list[int]] = field(default_factory=list)

    def with_draw(self, rounds: Sequence[Round]) -> "ActiveMeasured":
        """The same with another draw."""

        def added(name: str, digits: int | None) -> list[list]:
            found = [getattr(each, name) for each in rounds]
            known = [round(value, digits) for value in found if value is not None]
            return [*getattr(self, name), known]

        kinds = {"accuracy": 6, "macro_recall": 6, "classes": None, "agreement": 6}
        kinds |= {"pick_s": 4, "fit_s": 4}
        # Draws of an earlier version are without, as they reached their budgets
        kinds |= {} if self.accuracy and not self.labels else {"labels": None}
        return ActiveMeasured(**{name: added(name, digits) for name, digits in kinds.items()})


NOTHING = ActiveMeasured([], [], [], [], [], [])


@dataclass(frozen=True)
class ActiveRecord:
    """One strategy, simulated.

    Attributes:
      config: settings of body and images.
      test: how labels were asked for.
      measured: the results.
      lineage: the trainings of the body, the latest last.
      provenance: where the numbers come from.
      path: the file that it was read from; None before it is written.
    """

    config: Config
    test: ActiveTest
    measured: ActiveMeasured
    lineage: tuple[Stage, ...]
    provenance: Provenance
    path: Path | None = None

    @property
    def identity(self) -> str:
        """A digest of all that makes two tests the same."""
        return self._digest(dataclasses.asdict(self.test))

    @property
    def without_draws(self) -> str:
        """A digest of all that a simulation must agree in to be continued."""
        return self._digest(dataclasses.asdict(dataclasses.replace(self.test, draws=0)))

    @property
    def compared(self) -> str:
        """What records agree in that may be compared draw by draw: all but the strategy."""
        fixed = dataclasses.replace(
            self.test, strategy="", balanced=False, distinct=False, stop=0.0
        )
        return self._digest(dataclasses.asdict(fixed))

    def _digest(self, test: dict[str, Any]) -> str:
        stages = lineage_to_json(self.lineage, timed=False)
        return short_digest([settings(self.config), test, self.provenance.images, stages])

    @property
    def external(self) -> bool:
        """Whether the body saw other data: it was pre-trained elsewhere."""
        stages = [stage.config for stage in all_stages(self.lineage)]
        return any(config.weights for config in (self.config, *stages))


def _place(record: ActiveRecord) -> tuple[str, str]:
    (config, test) = (record.config, record.test)
    changed = [test.strategy]
    changed += ["balanced"] if test.balanced else []
    changed += ["distinct"] if test.distinct else []
    changed += [f"stop{test.stop:g}"] if test.stop else []
    changed += [config.learned] if config.learned != Config.learned else []
    init = "init-" if config.init_from or record.lineage else ""
    what = f"{init}{body_of(config)}-{test.classifier}-seed{config.seed}"
    return official_name(config, record.provenance), f"{'-'.join(changed)}-{what}"


def _check(record: ActiveRecord) -> None:
    """See that every draw has a number in range for every round.

    Raises:
      UserError: it has not.
    """
    (test, measured) = (record.test, record.measured)
    rounds = len(test.budgets)
    if not rounds or sorted(set(test.budgets)) != test.budgets:
        raise UserError("wrong or missing budgets")
    named = dataclasses.asdict(measured)
    if not measured.labels:
        del named["labels"]
    for name in named:
        draws = getattr(measured, name)
        wanted = rounds - (name == "agreement")
        if len(draws) != test.draws or any(len(draw) != wanted for draw in draws):
            raise UserError(f"wrong or missing {name}")
    for name in ("accuracy", "macro_recall"):
        if not all(0 <= value <= 1 for draw in getattr(measured, name) for value in draw):
            raise UserError(f"wrong or missing {name}")


ACTIVE = Kind("active", ActiveRecord, _place, _check)
