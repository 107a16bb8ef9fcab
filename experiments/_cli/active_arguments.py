"""Flags of a simulation of active learning, and what they ask for."""

from pathlib import Path

from experiments._cli.define import FLAGS, define_choice, define_flag
from experiments._cli.flags import (
    MOST_SEEDS,
    body_of_earlier,
    check_of,
    classifier_config,
    define,
    define_dataset,
    settings_given,
)
from experiments._cli.unread import check_optimizer, check_test_folder
from metalearn.active.heads import AUTO
from metalearn.active.registry import STRATEGIES
from metalearn.active.trial import Rules
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.active import BASELINE
from metalearn.records.names import body_of, file_name
from metalearn.transfer.probes import KINDS

BUDGETS = ["100", "200", "400", "1000", "2000", "5000"]
ALL = "all"
TRAINED = ("partial", "fine_tune", "lora")


def define_active() -> None:
    """Define the flags."""
    define(None)
    define_dataset()
    names = ", ".join(STRATEGIES)
    define_flag(
        "strategies",
        [BASELINE, "auto"],
        f"how images are chosen, comma-separated: {names}; or all",
        list,
    )
    define_flag(
        "budget",
        BUDGETS,
        "labels known after each round, comma-separated; by default those that the pool has",
        list,
    )
    define_choice(
        "classifier",
        AUTO,
        (AUTO, *KINDS, *TRAINED),
        "what is fitted in each round: a classifier of the body's features (auto: centroids below "
        "two labels a class, then ridge), or the body too, as by experiments.transfer",
    )
    define_flag("pool", 0, "images of the pool, drawn by each seed; 0 for all", lower_bound=0)
    define_flag("balanced", False, "even choices out over the classes that they are taken for")
    define_flag("distinct", False, "leave out images that show the same as a labelled one")
    define_flag(
        "stop",
        0.0,
        "ask for no more labels once answers for the pool agree so well with those of the round "
        "before, Cohen's kappa (0: never; 0.99 is published)",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    define_flag("draws", 10, "seeds, from --seed on", int, lower_bound=1, upper_bound=MOST_SEEDS)
    define_flag(
        "at_once",
        0,
        "draws whose images are chosen by one program (0: all; one on a CPU, where that is faster, "
        "and one where the body is trained)",
        lower_bound=0,
    )


def config_given() -> Config:
    """The settings of body and images.

    Raises:
      UserError: a flag that is not read.
    """
    given = settings_given()
    method = FLAGS.classifier if FLAGS.classifier in TRAINED else "probe"
    check_of(given, method)
    for name in ("labels", "probe"):
        if name in given:
            other = {"labels": "budget", "probe": "classifier"}[name]
            raise UserError(f"--{name} is not of active learning: give --{other}")
    if FLAGS.distributed:
        raise UserError("--distributed: a simulation is made by one process; leave it out")
    check_test_folder()
    begun = body_of_earlier(given["init_from"]) if given.get("init_from") else None
    config = classifier_config(method, given, begun)
    check_optimizer(given, config)
    return config


def rules_given() -> Rules:
    """How labels are asked for.

    Raises:
      UserError: budgets that are no ascending numbers, or larger than the pool.
    """
    try:
        budgets = tuple(int(word) for word in FLAGS.budget)
    except ValueError:
        raise UserError(f"--budget={','.join(FLAGS.budget)}: give whole numbers") from None
    if not budgets or sorted(set(budgets)) != list(budgets) or budgets[0] < 1:
        raise UserError(f"--budget={','.join(FLAGS.budget)}: give ascending numbers from 1")
    rules = Rules(budgets, FLAGS.pool, FLAGS.balanced, FLAGS.distinct, FLAGS.stop)
    return within(rules, FLAGS.pool) if FLAGS.pool else rules


def within(rules: Rules, images: int) -> Rules:
    """The rules for a pool of so many images: budgets of the default are no larger.

    Args:
      rules: as they were given.
      images: of the pool.

    Raises:
      UserError: a budget that was given is larger, or there is no smaller one.
    """
    budgets = tuple(budget for budget in rules.budgets if budget <= images)
    if not budgets or (FLAGS["budget"].present and budgets != rules.budgets):
        raise UserError(
            f"--budget={rules.budgets[-1]}: the pool has {images} images; ask for fewer labels"
        )
    return rules._replace(budgets=budgets)


def strategies_given() -> list[str]:
    """The strategies that are asked for, random choices first.

    Raises:
      UserError: there is no such one.
    """
    if FLAGS.strategies == [ALL]:
        return list(STRATEGIES)
    for name in FLAGS.strategies:
        if name not in STRATEGIES:
            raise UserError(f"no strategy '{name}': choose of {', '.join(STRATEGIES)}; or all")
    return list(dict.fromkeys([BASELINE, *FLAGS.strategies]))


def workdir_of(config: Config) -> Path:
    """The folder of the simulation."""
    if FLAGS.workdir:
        return Path(FLAGS.workdir)
    return Path("runs") / f"active-{file_name(config.dataset)}-{body_of(config)}"
