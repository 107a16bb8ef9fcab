"""What the programs do that train classifiers of fixed classes: flags, body, data, run, records."""

import dataclasses
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
from experiments._cli.lab import check_jax, meet
from experiments._cli.material import open_material, open_source, with_best_body
from experiments._cli.places import check_run_folder
from experiments._cli.program import command_line, continued
from experiments._cli.unread import check_optimizer, check_test_folder
from metalearn.classifiers.choice import AUTO
from metalearn.classifiers.report import write_report
from metalearn.classifiers.run import Classified, check_classifier, classify
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.parallel import first
from metalearn.records.labelled_store import (
    LABELLED,
    labelled_slug,
    labelled_workdir,
    read_answers,
    write_labelled,
)
from metalearn.runtime import configure
from metalearn.training.state import Run


def define_classifier(strategies: tuple[str, ...], default: str) -> None:
    """Define the flags of a program that trains classifiers by one of these strategies."""
    define(None)
    define_dataset()
    if len(strategies) > 1:
        define_choice("strategy", default, strategies, "how the body becomes a classifier")
    define_flag(
        "seeds",
        1,
        "runs to make one after the other, with --seed and the seeds after it; a --workdir X is "
        "then X-seed<k> for each",
        lower_bound=1,
        upper_bound=MOST_SEEDS,
    )
    define_flag(
        "weights_dir",
        None,
        "folder with weights by their published names, beside those installed: for "
        "--backbone=auto, which takes the body that suits the training images best",
    )
    define_flag(
        "test_source",
        False,
        "test the classes of the run --init_from too, before and after: what the body forgets",
    )
    define_flag("source_data_dir", None, "folder with the files of --test_source [--data_dir]")


def classifier_runs(strategy: str) -> list[Run]:
    """The runs that the flags are about.

    Raises:
      UserError: a flag that the strategy does not read, or that does not go with others.
    """
    given = settings_given()
    check_of(given, strategy)
    if FLAGS.distributed:
        raise UserError("--distributed: a classifier is trained by one process; leave it out")
    begun = body_of_earlier(given["init_from"]) if given.get("init_from") else None
    config = classifier_config(strategy, given, begun)
    check_optimizer(given, config)
    _check_folders(config)
    configs = [dataclasses.replace(config, seed=config.seed + i) for i in range(FLAGS.seeds)]
    if not FLAGS.workdir:
        return [Run(one, labelled_workdir(one)) for one in configs]
    folder = Path(FLAGS.workdir)
    several = len(configs) > 1
    return [Run(c, Path(f"{folder}-seed{c.seed}") if several else folder) for c in configs]


def _check_folders(config: Config) -> None:
    """See that the folders that are given to a classifier's program are read.

    Raises:
      UserError: one is not.
    """
    check_test_folder()
    if FLAGS.source_data_dir and not FLAGS.test_source:
        raise UserError("--source_data_dir is of --test_source: give that too")
    if FLAGS.weights_dir and config.backbone != AUTO:
        raise UserError(
            f"--weights_dir is of --backbone={AUTO}: give that, or the file itself by --weights"
        )


def carry_out_classifiers(runs: list[Run], module: str) -> None:
    """Train and test each run; write records, say what was found.

    Raises:
      UserError: settings, weights or images that do not fit, or as `classify`.
    """
    command = command_line(module)
    for run in runs:
        check_run_folder(run.workdir)
    for run in runs:
        _carry_out(run, command)


def _carry_out(run: Run, command: str) -> None:
    config = run.config
    meet()
    configure(config.meta_batch, config.precision)
    check_jax()
    check_classifier(config)
    if FLAGS.record:
        check_writable(Path(FLAGS.results_dir))
    command = continued(command, config)
    chosen = with_best_body(config)
    (opened, material) = open_material(chosen)
    workdir = run.workdir
    if not FLAGS.workdir and chosen.backbone != config.backbone:
        workdir = labelled_workdir(chosen)
    config = opened
    run = Run(config, workdir)
    source = open_source(config) if FLAGS.test_source else None
    found = classify(run, material, command, source)
    files = write_report(run, material, found)
    finish(run, found, files)


def finish(run: Run, found: Classified, files: list[Path]) -> None:
    """Write the record where --record asks for it, and say what was found."""
    if not first():
        return
    record = found.record
    if FLAGS.record:
        path = LABELLED.path(Path(FLAGS.results_dir), record)
        assert record.path is not None
        write_labelled(path, record, read_answers(record.path))
        print(f"recorded: {path}")
    print(said(found, run, files))


def said(found: Classified, run: Run, files: list[Path]) -> str:
    """The lines that a run ends with.

    Args:
      found: what was tested.
      run: settings and folder.
      files: of the report.
    """
    config = run.config
    measured = found.record.measured
    before = ""
    if measured.accuracy_before is not None:
        before = f"before {100 * measured.accuracy_before:.2f} %, after "
    source = ""
    if measured.source_accuracy is not None and measured.source_accuracy_before is not None:
        kept = (
            f"{100 * measured.source_accuracy_before:.2f} % to {100 * measured.source_accuracy:.2f}"
        )
        source = f"; the classes it was trained on before: from {kept} %"
    low, high = 100 * measured.ci95_low, 100 * measured.ci95_high
    line = (
        f"{config.dataset}, {labelled_slug(config)}: {before}{100 * measured.accuracy:.2f} % "
        f"(95 % CI {low:.2f} to {high:.2f}, {found.record.test.images} test images), macro recall "
        f"{100 * measured.macro_recall:.2f} %, ECE {100 * measured.ece:.1f} %; "
        f"{measured.adapt_s:.1f} s of training, {measured.trained_parameters} of "
        f"{measured.parameters} numbers{source}"
    )
    names = ", ".join(["result.json", *(path.name for path in files)])
    return "\n".join([line, *found.notes, f"files: {run.workdir}/ ({names})"])
