"""Tests of a trained run: a record for every normalisation, and a picture of the first episode."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.episodes import as_task
from metalearn.evaluation.episodes import Episodes, draw_episodes, task_of
from metalearn.evaluation.evaluator import evaluator
from metalearn.evaluation.metrics import Result
from metalearn.evaluation.partial import PartialResult
from metalearn.evaluation.probe import is_transductive
from metalearn.learners.method import Method, make_method
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import broadcast_from_first, by_first, on_this
from metalearn.records.pictures import draw_episode, warn_if_not_drawn
from metalearn.records.record import Evaluation, Measured, Planned, Provenance, Record
from metalearn.records.store import (
    partial_path,
    picture_path,
    result_path,
    whole_record,
    write_counts,
    write_record,
)
from metalearn.records.workdir import Saved, read_workdir
from metalearn.runtime import commit, device_name, peak_memory_mb, quick_jit
from metalearn.training.lab import Lab, split_source
from metalearn.training.metric_log import peak_memory_until, seconds_until
from metalearn.training.parts import support_copies, with_running_statistics
from metalearn.training.state import Run
from metalearn.training.trained import Best, Trained
from metalearn.types import ClassSource, Learner, PyTree, Task, random_key

# Test episodes, the first of the list, on which accuracy before adaptation is measured
BEFORE = 1000


class Tested(NamedTuple):
    """What is tested on, and what is tested: a split's episodes, and trained meta-parameters.

    Attributes:
      source: the split.
      episodes: positions in it.
      meta: what was trained, with running statistics.
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


def tested_norms(config: Config, method: Method) -> tuple[str, ...]:
    """The normalisations to test under: those asked for, else the method's own."""
    return tuple(config.test_norms.split(",")) if config.test_norms else method.norms


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


def with_statistics(config: Config, method: Method, lab: Lab, trained: Trained) -> Trained:
    """What was trained, with running statistics.

    They were saved with it; a run of an older version has none, and they are measured now.

    Args:
      config: of the training.
      method: that was trained.
      lab: the dataset that it was trained on.
      trained: what was trained.
    """
    if "moments" in trained.meta:
        return trained
    return trained._replace(meta=with_running_statistics(config, method, lab)(trained.meta))


def test_run(run: Run, method: Method, lab: Lab, trained: Trained, command: str) -> list[Record]:
    """A record for each of the norms.

    A test already made, whose record is in the run's folder, is not made again; one that was
    stopped continues.

    Args:
      run: with the settings of the test.
      method: to be tested.
      lab: the dataset to test on.
      trained: what was trained, with running statistics.
      command: that the records hold.
    """
    config, workdir, _ = run
    source = split_source(lab, "test")
    episodes = draw_episodes(
        source, config.episodes, config.ways, config.shots, config.queries, config.eval_seed
    )
    metrics = workdir / "metrics.jsonl"
    seconds = seconds_until(metrics, config.steps)
    peak = peak_memory_until(metrics, config.steps)
    tested = Tested(source, episodes, trained.meta, trained.best, seconds, peak)
    saved = read_workdir(workdir)
    records = []
    for norm in tested_norms(config, method):
        learner = method.test(norm)  # one for all that follows: its functions are compiled once
        test = Evaluation(norm, episodes.hash, trained.best.step)
        planned = Planned(config, test, saved.lineage, images_of(config, saved, lab))
        path = result_path(workdir, saved.config.method, planned)
        record = whole_record(path)
        known = record is not None and record.identity == planned.identity
        if not broadcast_from_first(known)[0]:
            partial_result = partial_path(workdir, saved.config.method, planned)
            unfinished = PartialResult(partial_result, planned.identity)
            record, result = _measure(planned, method, learner, lab, tested, command, unfinished)
            # Another test may have ended meanwhile
            path = result_path(workdir, saved.config.method, planned)
            by_first(partial(write_counts, path, result.accuracies * config.ways * config.queries))
            by_first(partial(write_record, path, record))
            by_first(partial(unfinished.path.unlink, missing_ok=True))
            by_first(partial(picture_path(path).unlink, missing_ok=True))
        picture = picture_path(path)
        if not broadcast_from_first(picture.exists())[0]:
            title = f"{config.method}, {norm}"
            _draw_first(config, learner, lab, tested, picture, title)
        if record is not None:  # on a host without the first one's disk there may be none
            records.append(dataclasses.replace(record, path=path))
    return records


def images_of(config: Config, saved: Saved, lab: Lab) -> str:
    """The digest of the images of a test; before it that of the training's where it is another."""
    images = lab.dataset.images
    return f"{saved.images}+{images}" if config.test_dataset else images


def _measure(
    planned: Planned,
    method: Method,
    learner: Learner,
    lab: Lab,
    tested: Tested,
    command: str,
    unfinished: PartialResult,
) -> tuple[Record, Result]:
    config, norm = planned.config, planned.test.norm
    copies = support_copies(config, lab.dataset.name)
    block = lab.at_once or None
    test = evaluator(
        learner, tested.source, tested.episodes, lab.prepare, lab.mesh, block=block, copies=copies
    )
    result = test(tested.meta, unfinished)
    before = None
    if method.before is not None:
        some = tested.episodes._replace(indices=tested.episodes.indices[:BEFORE])
        unadapted = method.before(norm)
        before = evaluator(
            unadapted, tested.source, some, lab.prepare, lab.mesh, block=block, copies=copies
        )(tested.meta)
    meta = on_this(tested.meta)
    task = first_task(config, lab, tested)[1]
    transductive = is_transductive(learner, meta, task, quick_jit)
    measured = _measurements(tested, result, before, transductive)
    provenance = Provenance(command, commit(), device_name(), planned.images, lab.dataset.decoder)
    return Record(config, planned.test, measured, planned.lineage, provenance), result


def _measurements(
    tested: Tested, result: Result, before: Result | None, transductive: bool
) -> Measured:
    """What was measured, without digits that are below its noise."""
    return Measured(
        accuracy=round(result.accuracy, 6),
        ci95=round(result.ci95, 6),
        transductive=transductive,
        accuracy_before=None if before is None else round(before.accuracy, 6),
        ci95_before=None if before is None else round(before.ci95, 6),
        ece=round(result.ece, 6),
        valid_accuracy=round(tested.best.accuracy, 6),
        train_wall_s=round(tested.train_wall_s, 1),
        tasks_per_s=round(len(result.accuracies) / result.seconds, 2),
        peak_memory_mb=max(tested.peak_memory_mb, peak_memory_mb()),
    )


def first_task(config: Config, lab: Lab, tested: Tested) -> tuple[Task, Task]:
    """The first test episode: as it is in the archive, and as it is tested.

    As it is tested it has support copies, and its images are prepared for the body.
    """
    images = tested.source.images
    indices = tested.episodes.indices[0]
    shots = tested.episodes.shots
    x = on_this(images[indices])
    copies = support_copies(config, lab.dataset.name)
    task = task_of(x, indices, shots, len(images), copies)
    ready = task._replace(support_x=lab.prepare(task.support_x), query_x=lab.prepare(task.query_x))
    return as_task(x, shots), ready


def _draw_first(
    config: Config, learner: Learner, lab: Lab, tested: Tested, picture: Path, title: str
) -> None:
    """Draw the first test episode."""
    raw, task = first_task(config, lab, tested)
    meta = on_this(tested.meta)

    def draw() -> None:
        with warn_if_not_drawn(picture):
            adapted = quick_jit(learner.adapt)(random_key(0), meta, task.support_x, task.support_y)
            predicted = quick_jit(learner.predict)(meta, adapted, task.query_x).argmax(-1)
            names = class_names(lab, tested)
            draw_episode(jax.device_get(raw), np.asarray(predicted), picture, title, names)

    by_first(draw)


def class_names(lab: Lab, tested: Tested) -> list[str]:
    """Names of the classes of the first test episode; a turned class says by how much."""
    names = lab.dataset.test.names
    starts = np.asarray(tested.source.starts)
    classes = (
        np.searchsorted(starts, np.asarray(tested.episodes.indices[0])[:, 0], side="right") - 1
    )
    turns = [f" {90 * (c // len(names))}°" if c >= len(names) else "" for c in classes]
    return [names[c % len(names)] + turn for c, turn in zip(classes, turns, strict=True)]
