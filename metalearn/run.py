"""One run from configuration to records: train, or resume, or find it done; test; draw; write down."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metalearn.base import ClassSource, Learner, PyTree, Task
from metalearn.checkpoint import Best
from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.episodes import as_task
from metalearn.errors import UserError
from metalearn.evaluate import (
    Episodes,
    Result,
    Unfinished,
    draw_episodes,
    evaluator,
    is_transductive,
    moments_measurer,
    task_of,
)
from metalearn.fit import fit, restore
from metalearn.hosts import by_first, by_word_of_first, first, on_this
from metalearn.lab import Lab, check_test, make_trained, split_source, support_copies, training_sampler
from metalearn.methods import Method, make_method
from metalearn.metrics import peak_memory_until, seconds_until
from metalearn.optimizers import make_optimizer
from metalearn.pictures import draw_curve, draw_episode, told_if_not_drawn
from metalearn.record import (
    make_record,
    method_of,
    same_test,
    the_test,
    write_counts,
    write_json,
)
from metalearn.teacher import split
from metalearn.workdir import (
    Run,
    check_images,
    forget_untrained,
    open_workdir,
    picture_path,
    read_workdir,
    result_path,
    sole,
    unfinished_path,
)

BEFORE = 1000  # test episodes, the first of the list, on which accuracy before adaptation is measured


class Exam(NamedTuple):
    """What is tested on, and what is tested: a split's episodes, trained meta-parameters and how they were chosen."""

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
    """Find what keeps runs that differ in their seeds alone from being trained together, as `check_settings` does.

    Raises:
      UserError: the seed decides their classes too, or the last one's is too large.
    """
    runs[-1].config.check()
    if len({split(run.config) for run in runs}) > 1:
        name = runs[0].config.dataset
        raise UserError(f"--seeds={len(runs)}: --seed splits the classes of {name} too: train one seed after the other")


def tested_norms(config: Config, method: Method) -> tuple[str, ...]:
    """The normalisations to test under: those asked for, else the method's own."""
    return tuple(config.test_norms.split(",")) if config.test_norms else method.norms


def execute(runs: Sequence[Run], lab: Lab, command: str) -> list[list[dict]]:
    """Train runs that differ in their seeds alone, together, and test one after the other.

    Returns:
      For each run a record for every normalisation tested, also in `<workdir>/result-*.json`.

    Raises:
      UserError: as `fit`, or the settings do not fit the dataset, or several are to train on a streamed one.
      Interrupted: as `fit`.
    """
    config, alone = runs[0].config, len(runs) == 1
    method = prepare(config, lab, len(runs))
    check_test(config, lab, "valid")
    training_sampler(config, lab, method.supervised)
    if lab.streamed and not alone:
        raise UserError(
            f"--seeds={len(runs)}: {config.dataset} is streamed from the host: train one seed after the other"
        )
    records = []
    with ExitStack() as stack:
        for run in runs:
            by_first(partial(open_workdir, run.workdir, run.config, command, lab.dataset.digest))
            by_first(partial(stack.enter_context, sole(run.workdir)))
        try:
            fitted = fit(runs, method, lab)
        except UserError:
            for run in runs if first() else ():
                forget_untrained(run.workdir)
            raise
        for run, (meta, best) in zip(runs, fitted, strict=True):
            records.append(examine(run.config, method, lab, run.workdir, meta, best, command))
            by_first(partial(_draw_curve, run.config, run.workdir))
    return records


def _draw_curve(config: Config, workdir: Path) -> None:
    metrics, curve = workdir / "metrics.jsonl", workdir / "curve.png"
    if metrics.exists() and (not curve.exists() or curve.stat().st_mtime < metrics.stat().st_mtime):
        with told_if_not_drawn(curve):
            draw_curve(metrics, curve, f"{config.method}, {config.dataset}")


def re_examine(config: Config, lab: Lab, workdir: Path, command: str) -> list[dict]:
    """Test the best checkpoint of a finished run again, with other test settings or by another method of its kind.

    Raises:
      UserError: the run is not finished or cannot be read, or the settings do not fit it or the dataset.
    """
    trained, trained_by = read_workdir(workdir)
    check_images(workdir, lab.dataset.digest)
    method = prepare(config, lab)
    own = method if config.method == trained.method else _trained_alike(trained, config, method, lab)
    meta, best = restore(trained, own, lab, workdir)
    return examine(config, method, lab, workdir, meta, best, f"{trained_by} && {command}")


def _trained_alike(trained: Config, config: Config, method: Method, lab: Lab) -> Method:
    """The method of the run; raise `UserError` unless what it trains is what the config's method trains."""
    own, x = prepare(trained, lab), np.zeros((1, *lab.dataset.train.images.shape[1:]), np.float32)
    shapes = [jax.eval_shape(m.train.init, jax.random.key(0), x) for m in (own, method)]
    if shapes[0] != shapes[1]:
        raise UserError(f"--method={config.method} is trained otherwise than {trained.method}: train it by itself")
    return own


def prepare(config: Config, lab: Lab, seeds: int = 1) -> Method:
    """The method for this dataset and so many seeds; what does not fit is found here, before hours of training."""
    check_settings(config)
    check_test(config, lab, "test")
    return make_trained(config, lab, seeds)


def examine(
    config: Config, method: Method, lab: Lab, workdir: Path, meta: PyTree, best: Best, command: str
) -> list[dict]:
    """A record for each of the norms.

    A test already made, and written down in workdir, is not made again; one that was stopped goes on.
    """
    source = split_source(lab, "test")
    episodes = draw_episodes(source, config.episodes, config.ways, config.shots, config.queries, config.eval_seed)
    metrics = workdir / "metrics.jsonl"
    exam = Exam(
        source, episodes, meta, best, seconds_until(metrics, config.steps), peak_memory_until(metrics, config.steps)
    )
    records = []
    for norm in tested_norms(config, method):
        test = the_test(config, episodes, best.step)
        path = result_path(workdir, config, norm, test)
        record = same_test(path, test)
        if not by_word_of_first(record is not None)[0]:
            unfinished = Unfinished(unfinished_path(workdir, config, norm, test), json.dumps(test))
            made, result = _examine(config, method, lab, exam, norm, command, unfinished)
            path = result_path(workdir, config, norm, test)  # again: another test of the run may have ended meanwhile
            by_first(partial(write_counts, path, result.accuracies * config.ways * config.queries))
            by_first(partial(write_json, path, made))
            by_first(partial(unfinished.path.unlink, missing_ok=True))
            by_first(partial(picture_path(path).unlink, missing_ok=True))
            record = made
        picture = picture_path(path)
        if not by_word_of_first(picture.exists())[0]:
            draw_first(config, method.test(norm), lab, exam, picture, f"{config.method}, {norm}")
        records.append(record or {})
    return records


def _examine(
    config: Config, method: Method, lab: Lab, exam: Exam, norm: str, command: str, unfinished: Unfinished
) -> tuple[dict, Result]:
    learner = method.test(norm)
    ready = moments_measurer(learner, lab.train, lab.prepare)(exam.meta)
    copies, block = support_copies(config), lab.at_once or None
    test = evaluator(learner, exam.source, exam.episodes, lab.prepare, lab.mesh, block=block, copies=copies)
    result = test(ready, unfinished)
    before = None
    if method.before is not None:
        some = exam.episodes._replace(indices=exam.episodes.indices[:BEFORE])
        unadapted = method.before(norm)
        before = evaluator(unadapted, exam.source, some, lab.prepare, lab.mesh, block=block, copies=copies)(ready)
    transductive = is_transductive(learner, on_this(ready), first_task(config, lab, exam)[1])
    record = make_record(
        config,
        norm,
        transductive,
        exam.episodes,
        result,
        before,
        exam.best,
        exam.train_wall_s,
        exam.peak_memory_mb,
        command,
    )
    return record, result


def first_task(config: Config, lab: Lab, exam: Exam) -> tuple[Task, Task]:
    """The first test episode as it is in the archive, and as it is tested: with support copies, prepared."""
    images, indices, shots = exam.source.images, exam.episodes.indices[0], exam.episodes.shots
    x = on_this(images[indices])
    task = task_of(x, indices, shots, len(images), support_copies(config))
    ready = task._replace(support_x=lab.prepare(task.support_x), query_x=lab.prepare(task.query_x))
    return as_task(x, shots), ready


def draw_first(config: Config, learner: Learner, lab: Lab, exam: Exam, picture: Path, title: str) -> None:
    """Draw the first test episode."""
    raw, task = first_task(config, lab, exam)
    meta = on_this(moments_measurer(learner, lab.train, lab.prepare)(exam.meta))

    def draw() -> None:
        with told_if_not_drawn(picture):
            adapted = jax.jit(learner.adapt)(jax.random.key(0), meta, task.support_x, task.support_y)
            predicted = jax.jit(learner.predict)(meta, adapted, task.query_x).argmax(-1)
            draw_episode(jax.device_get(raw), np.asarray(predicted), picture, title)

    by_first(draw)


def summary(records: list[dict], workdir: Path) -> str:
    """The lines a run ends with."""
    lines = []
    for r in records:
        kind = "transductive" if r["transductive"] else "inductive"
        before = (
            ""
            if r["accuracy_before"] is None
            else f"before adaptation {100 * r['accuracy_before']:.2f} ± {100 * r['ci95_before']:.2f} %, after "
        )
        lines.append(
            f"{r['dataset']} {r['ways']}-way {r['shots']}-shot, {method_of(r)} {r['backbone']}, {kind} ({r['norm']}): "
            f"{before}{100 * r['accuracy']:.2f} ± {100 * r['ci95']:.2f} % "
            f"(95 % CI, {r['episodes']} test episodes {r['episode_hash']})"
        )
    lines.append(
        f"files: {workdir}/ (result-*.json, curve.png, episode-*.png, metrics.jsonl, tensorboard/, checkpoints/)"
    )
    shots = 1 if records[0]["shots"] == 5 else 5
    real = "; experiments.protonet --dataset=omniglot, real images" if records[0]["dataset"] == "glyphs" else ""
    other = f"experiments.evaluate --workdir={workdir} --shots={shots}, another test of it"
    lines.append(f"next (./run.sh or python -m): {other}{real}")
    return "\n".join(lines)
