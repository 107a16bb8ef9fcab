"""What the training loop needs to know of what it trains: a few-shot method, or a classifier."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from metalearn.evaluation.metrics import Result
from metalearn.learners.method import Method
from metalearn.ops.optimizers import make_optimizer
from metalearn.training.assemble import Training, assemble
from metalearn.training.lab import Lab
from metalearn.training.parts import make_validate, with_running_statistics
from metalearn.training.progress import headline, place_of
from metalearn.training.state import Run, begin, initial_state
from metalearn.training.step import TrainState, apart, together
from metalearn.types import PyTree


class Validated(NamedTuple):
    """What a validation found.

    Attributes:
      score: the higher the better; the best state is kept.
      logged: numbers for the metric log.
      said: for the terminal.
    """

    score: float
    logged: dict[str, float]
    said: str


Validate = Callable[[int, PyTree], Validated]  # of the step, and of what is ready


class Plan(NamedTuple):
    """How runs are trained that differ in their seeds alone.

    Attributes:
      lab: the dataset on the devices.
      fresh: `run -> state`, before the first step, with random weights.
      begin: `(run, fresh) -> state`, with the weights that training begins from.
      training: `run -> Training`.
      ready: `run -> (meta -> meta)`, what is tested and kept of the parameters in training.
      validate: `run -> ((step, meta) -> Validated)` of what is ready; None where there are no
        images for it: the last state is kept, then.
      headline: `(run, step, over) -> str`, the line that a run begins with.
      refresh: `run -> (meta -> meta)`, recomputes a part of the parameters in training after each
        validation; None for none.
    """

    lab: Lab
    fresh: Callable[[Run], TrainState]
    begin: Callable[[Run, TrainState], TrainState]
    training: Callable[[Run], Training]
    ready: Callable[[Run], Callable[[PyTree], PyTree]]
    validate: Callable[[Run], Validate] | None
    headline: Callable[[Run, int, bool], str]
    refresh: Callable[[Run], Callable[[PyTree], PyTree]] | None = None


def refreshed(
    state: TrainState, count: int, refresh: Callable[[PyTree], PyTree] | None
) -> TrainState:
    """The state with what is recomputed of the parameters after a validation.

    Args:
      state: of `count` trainings at once.
      count: how many these are.
      refresh: `meta -> meta`; None where nothing is recomputed.
    """
    if refresh is None:
        return state
    return together([its._replace(meta=refresh(its.meta)) for its in apart(state, count)])


def by_accuracy(validate: Callable[[PyTree], Result]) -> Validate:
    """Validation that keeps the most accurate state.

    Args:
      validate: `meta -> Result`.
    """

    def validated(step: int, ready: PyTree) -> Validated:
        result = validate(ready)
        logged = {
            "valid_accuracy": result.accuracy,
            "valid_ci95": result.ci95,
            "valid_loss": result.loss,
        }
        found = f"{100 * result.accuracy:.2f} ± {100 * result.ci95:.2f} %"
        return Validated(result.accuracy, logged, f"validation accuracy {found}")

    return validated


def few_shot_plan(method: Method, lab: Lab) -> Plan:
    """The plan of a few-shot method's runs.

    Args:
      method: to be trained.
      lab: the dataset on the devices.
    """

    def fresh(run: Run) -> TrainState:
        return initial_state(run.config, method.train.init, lab, make_optimizer(run.config))

    def training(run: Run) -> Training:
        return assemble(run.config, lab, method, run.earlier.get("teacher"))

    def ready(run: Run) -> Callable[[PyTree], PyTree]:
        return with_running_statistics(run.config, method, lab)

    def validate(run: Run) -> Validate:
        return by_accuracy(make_validate(run.config, method, lab))

    def line(run: Run, step: int, over: bool) -> str:
        config = run.config
        what = (
            f"{config.method} on {config.dataset}, {config.backbone} ({config.norm}), "
            f"{config.ways}-way {config.shots}-shot"
        )
        return headline(config, what, place_of(lab, run.workdir), step, over)

    return Plan(
        lab=lab,
        fresh=fresh,
        begin=partial(begin, pretrained=lab.body),
        training=training,
        ready=ready,
        validate=validate,
        headline=line,
    )
