"""One run from configuration to records: train, or resume, or find it done; test; draw; write
down.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.episodes import as_task
from metalearn.errors import UserError
from metalearn.evaluation.episodes import Episodes, draw_episodes, task_of
from metalearn.evaluation.evaluator import evaluator
from metalearn.evaluation.metrics import Result
from metalearn.evaluation.partial import PartialResult
from metalearn.evaluation.probe import is_transductive
from metalearn.learners.registry import Method, make_method
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import broadcast_from_first, by_first, first, on_this
from metalearn.records.pictures import draw_curve, draw_episode, told_if_not_drawn
from metalearn.records.record import STAGES, Evaluation, Measured, Planned, Provenance, Record
from metalearn.records.store import (
    method_of,
    partial_path,
    picture_path,
    result_path,
    whole_record,
    write_counts,
    write_record,
)
from metalearn.records.workdir import (
    Saved,
    check_images,
    forget_untrained,
    lineage_of,
    open_workdir,
    read_workdir,
    sole,
)
from metalearn.runtime import commit, device_name, peak_memory_mb
from metalearn.training.assemble import (
    Lab,
    check_test,
    make_trained,
    split_source,
    support_copies,
    training_sampler,
    with_running_statistics,
)
from metalearn.training.checkpoint import Best
from metalearn.training.distill import split
from metalearn.training.loop import fit, restore
from metalearn.training.metric_log import peak_memory_until, seconds_until
from metalearn.training.state import Run
from metalearn.types import ClassSource, Learner, PyTree, Task, random_key

# Test episodes, the first of the list, on which accuracy before adaptation is measured
BEFORE = 1000


class Exam(NamedTuple):
    """What is tested on, and what is tested: a split's episodes, and trained meta-parameters.

    Attributes:
      source: the split.
      episodes: positions in it.
      meta: what was trained.
      best: at which update, and how well it did on validation.
      train_wall_s: seconds of training.
      peak_memory_mb: largest peak in training, MiB.
    """

    source: ClassSource
    episodes: Episodes
    meta: PyTree
    best: Best
    train_wall_s: float
    peak_memory_mb: float


def check_settings(config: Config) -> None:
    """Find settings that no dataset would make right before one is loaded.

    Raises:
      UserError: a number out of range, an unknown name, settings that contradict each other.
    """
    config.check()
    method = make_method(config, 2)
    make_optimizer(config)
    augmentation(config.augment)
    for norm in tested_norms(config, method):
        method.test(norm)


def check_together(runs: Sequence[Run]) -> None:
    """Find what keeps runs that differ in their seeds alone from being trained together, as
    `check_settings` does.

    Raises:
      UserError: the seed decides their classes too, or the last one's is too large.
    """
    runs[-1].config.check()
    if len({split(run.config) for run in runs}) > 1:
        name = runs[0].config.dataset
        raise UserError(
            f"--seeds={len(runs)}: --seed splits the classes of {name} too: train one seed after "
            "the other"
        )


def tested_norms(config: Config, method: Method) -> tuple[str, ...]:
    """The normalisations to test under: those asked for, else the method's own."""
    return tuple(config.test_norms.split(",")) if config.test_norms else method.norms


def execute(runs: Sequence[Run], lab: Lab, command: str) -> list[list[Record]]:
    """Train runs that differ in their seeds alone, together, and test one after the other.

    Returns:
      For each run a record for every normalisation tested, also in `<workdir>/result-*.json`.

    Raises:
      UserError: as `fit`, or the settings do not fit the dataset, or several are to train on a
        streamed one.
      Interrupted: as `fit`.
    """
    runs = [with_earlier(run) for run in runs]
    config = runs[0].config
    alone = len(runs) == 1
    method = prepare(config, lab, len(runs))
    check_test(config, lab, "valid")
    training_sampler(config, lab, method.supervised)
    if lab.streamed and not alone:
        raise UserError(
            f"--seeds={len(runs)}: {config.dataset} is streamed from the host: train one seed "
            "after the other"
        )
    records = []
    with ExitStack() as stack:
        for run in runs:
            saved = Saved(
                run.config, command, lineage_of(run.config), lab.dataset.digest, lab.dataset.decoder
            )
            by_first(partial(open_workdir, run.workdir, saved))
            by_first(partial(stack.enter_context, sole(run.workdir)))
        try:
            fitted = fit(runs, method, lab)
        except UserError:
            for run in runs if first() else ():
                forget_untrained(run.workdir)
            raise
        for run, (meta, best) in zip(runs, fitted, strict=True):
            records.append(examine(run, method, lab, meta, best, command))
            by_first(partial(_draw_curve, run.config, run.workdir))
    return records


def with_earlier(run: Run) -> Run:
    """The run with the finished ones that its settings name the folders of.

    Raises:
      UserError: such a folder holds no run.
    """
    folders = {
        role: Path(getattr(run.config, role)) for role in STAGES if getattr(run.config, role)
    }
    earlier = {role: Run(read_workdir(folder).config, folder) for role, folder in folders.items()}
    return run._replace(earlier=earlier)


def _draw_curve(config: Config, workdir: Path) -> None:
    metrics = workdir / "metrics.jsonl"
    curve = workdir / "curve.png"
    if metrics.exists() and (not curve.exists() or curve.stat().st_mtime < metrics.stat().st_mtime):
        with told_if_not_drawn(curve):
            draw_curve(metrics, curve, f"{config.method}, {config.dataset}")


def re_examine(config: Config, lab: Lab, workdir: Path, command: str) -> list[Record]:
    """Test the best checkpoint of a finished run again, with other test settings or by another
    method of its kind.

    Raises:
      UserError: the run is not finished or cannot be read, or the settings do not fit it or the
        dataset.
    """
    trained = read_workdir(workdir)
    check_images(workdir, lab.dataset.digest, lab.dataset.decoder)
    method = prepare(config, lab)
    own = method
    if config.method != trained.config.method:
        own = _trained_alike(trained.config, config, method, lab)
    meta, best = restore(trained.config, own, lab, workdir)
    return examine(Run(config, workdir), method, lab, meta, best, f"{trained.command} && {command}")


def _trained_alike(trained: Config, config: Config, method: Method, lab: Lab) -> Method:
    """The method of the run; raise `UserError` unless what it trains is what the config's method
    trains.
    """
    own = prepare(trained, lab)
    x = np.zeros((1, *lab.dataset.train.images.shape[1:]), np.float32)
    shapes = [jax.eval_shape(m.train.init, random_key(0), x) for m in (own, method)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"--method={config.method} is trained otherwise than {trained.method}: train it by "
            "itself"
        )
    return own


def prepare(config: Config, lab: Lab, seeds: int = 1) -> Method:
    """The method for this dataset and so many seeds; what does not fit is found here, before hours
    of training.
    """
    check_settings(config)
    check_test(config, lab, "test")
    return make_trained(config, lab, seeds)


def examine(
    run: Run, method: Method, lab: Lab, meta: PyTree, best: Best, command: str
) -> list[Record]:
    """A record for each of the norms.

    A test already made, and written down in the run's folder, is not made again; one that was
    stopped goes on.
    """
    config, workdir, _ = run
    source = split_source(lab, "test")
    episodes = draw_episodes(
        source, config.episodes, config.ways, config.shots, config.queries, config.eval_seed
    )
    metrics = workdir / "metrics.jsonl"
    seconds = seconds_until(metrics, config.steps)
    exam = Exam(source, episodes, meta, best, seconds, peak_memory_until(metrics, config.steps))
    saved = read_workdir(workdir)
    records = []
    for norm in tested_norms(config, method):
        test = Evaluation(norm, episodes.hash, best.step)
        planned = Planned(config, test, saved.lineage, lab.dataset.images)
        path = result_path(workdir, saved.config.method, planned)
        record = whole_record(path)
        known = record is not None and record.identity == planned.identity
        if not broadcast_from_first(known)[0]:
            partial_result = partial_path(workdir, saved.config.method, planned)
            unfinished = PartialResult(partial_result, planned.identity)
            record, result = _examine(planned, method, lab, exam, command, unfinished)
            # Another test may have ended meanwhile
            path = result_path(workdir, saved.config.method, planned)
            by_first(partial(write_counts, path, result.accuracies * config.ways * config.queries))
            by_first(partial(write_record, path, record))
            by_first(partial(unfinished.path.unlink, missing_ok=True))
            by_first(partial(picture_path(path).unlink, missing_ok=True))
        picture = picture_path(path)
        if not broadcast_from_first(picture.exists())[0]:
            ready = with_running_statistics(config, method, lab, method.test(norm))(exam.meta)
            draw_first(
                config,
                method.test(norm),
                lab,
                exam._replace(meta=ready),
                picture,
                f"{config.method}, {norm}",
            )
        if record is not None:  # on a host without the first one's disk there may be none
            records.append(dataclasses.replace(record, path=path))
    return records


def _examine(
    planned: Planned, method: Method, lab: Lab, exam: Exam, command: str, unfinished: PartialResult
) -> tuple[Record, Result]:
    config, norm = planned.config, planned.test.norm
    learner = method.test(norm)
    ready = with_running_statistics(config, method, lab, learner)(exam.meta)
    copies = support_copies(config)
    block = lab.at_once or None
    test = evaluator(
        learner, exam.source, exam.episodes, lab.prepare, lab.mesh, block=block, copies=copies
    )
    result = test(ready, unfinished)
    before = None
    if method.before is not None:
        some = exam.episodes._replace(indices=exam.episodes.indices[:BEFORE])
        unadapted = method.before(norm)
        before = evaluator(
            unadapted, exam.source, some, lab.prepare, lab.mesh, block=block, copies=copies
        )(ready)
    transductive = is_transductive(learner, on_this(ready), first_task(config, lab, exam)[1])
    measured = measurements(exam, result, before, transductive)
    provenance = Provenance(command, commit(), device_name(), planned.images, lab.dataset.decoder)
    return Record(config, planned.test, measured, planned.lineage, provenance), result


def measurements(exam: Exam, result: Result, before: Result | None, transductive: bool) -> Measured:
    """What came out, rounded to what it is worth."""
    return Measured(
        accuracy=round(result.accuracy, 6),
        ci95=round(result.ci95, 6),
        transductive=transductive,
        accuracy_before=None if before is None else round(before.accuracy, 6),
        ci95_before=None if before is None else round(before.ci95, 6),
        ece=round(result.ece, 6),
        valid_accuracy=round(exam.best.accuracy, 6),
        train_wall_s=round(exam.train_wall_s, 1),
        tasks_per_s=round(len(result.accuracies) / result.seconds, 2),
        peak_memory_mb=max(exam.peak_memory_mb, peak_memory_mb()),
    )


def first_task(config: Config, lab: Lab, exam: Exam) -> tuple[Task, Task]:
    """The first test episode as it is in the archive, and as it is tested: with support copies,
    prepared.
    """
    images = exam.source.images
    indices = exam.episodes.indices[0]
    shots = exam.episodes.shots
    x = on_this(images[indices])
    task = task_of(x, indices, shots, len(images), support_copies(config))
    ready = task._replace(support_x=lab.prepare(task.support_x), query_x=lab.prepare(task.query_x))
    return as_task(x, shots), ready


def draw_first(
    config: Config, learner: Learner, lab: Lab, exam: Exam, picture: Path, title: str
) -> None:
    """Draw the first test episode; the exam's parameters are ready for the learner."""
    raw, task = first_task(config, lab, exam)
    meta = on_this(exam.meta)

    def draw() -> None:
        with told_if_not_drawn(picture):
            adapted = jax.jit(learner.adapt)(random_key(0), meta, task.support_x, task.support_y)
            predicted = jax.jit(learner.predict)(meta, adapted, task.query_x).argmax(-1)
            names = class_names(lab, exam)
            draw_episode(jax.device_get(raw), np.asarray(predicted), picture, title, names)

    by_first(draw)


def class_names(lab: Lab, exam: Exam) -> list[str]:
    """Names of the classes of the first test episode; a turned class says by how much."""
    names = lab.dataset.test.names
    starts = np.asarray(exam.source.starts)
    classes = np.searchsorted(starts, np.asarray(exam.episodes.indices[0])[:, 0], side="right") - 1
    turns = [f" {90 * (c // len(names))}°" if c >= len(names) else "" for c in classes]
    return [names[c % len(names)] + turn for c, turn in zip(classes, turns, strict=True)]


def summary(records: list[Record], workdir: Path) -> str:
    """The lines a run ends with."""
    files = "result-*.json, curve.png, episode-*.png, metrics.jsonl, tensorboard/, checkpoints/"
    config = records[0].config
    shots = 1 if config.shots == 5 else 5
    other = f"experiments.evaluate --workdir={workdir} --shots={shots}, another test of it"
    real = (
        "; experiments.protonet --dataset=omniglot, real images"
        if config.dataset == "glyphs"
        else ""
    )
    following = f"next (./run.sh or python -m): {other}{real}"
    return "\n".join([*map(_said, records), f"files: {workdir}/ ({files})", following])


def _said(record: Record) -> str:
    config, measured = record.config, record.measured
    kind = "transductive" if measured.transductive else "inductive"
    before = ""
    if measured.accuracy_before is not None:
        before = (
            f"before adaptation {_percent(measured.accuracy_before, measured.ci95_before)}, after "
        )
    return (
        f"{config.dataset} {config.ways}-way {config.shots}-shot, {method_of(config)} "
        f"{config.backbone}, {kind} "
        f"({record.test.norm}): {before}{_percent(measured.accuracy, measured.ci95)} "
        f"(95 % CI, {config.episodes} test episodes {record.test.episode_hash})"
    )


def _percent(accuracy: float, ci95: float | None) -> str:
    return f"{100 * accuracy:.2f} ± {100 * (ci95 or 0):.2f} %"
