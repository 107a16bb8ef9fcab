"""One run from configuration to records: train, or resume, or find it done; test; draw; write down."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metalearn.base import ClassSource, Learner, PyTree
from metalearn.checkpoint import Best
from metalearn.config import Config
from metalearn.data.episodes import check, make_task
from metalearn.errors import UserError
from metalearn.evaluate import Episodes, draw_episodes, evaluator, is_transductive, moments_measurer
from metalearn.fit import Lab, fit, restore, split_source
from metalearn.methods import Method, make_method
from metalearn.metrics import seconds_until
from metalearn.pictures import draw_curve, draw_episode
from metalearn.record import make_record, same_test, write_json


class Exam(NamedTuple):
    """What is tested on, and what is tested: a split's episodes, trained meta-parameters and how they were chosen."""

    source: ClassSource
    episodes: Episodes
    meta: PyTree
    best: Best
    train_wall_s: float


def read_config(workdir: Path) -> Config:
    """The configuration of the run in this folder.

    Raises:
      UserError: there is none, or it is not whole.
    """
    path = workdir / "config.json"
    try:
        saved = json.loads(path.read_text())
        return Config(**{k: v for k, v in saved.items() if k != "command"})
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run (no config.json): give the --workdir of a training run") from None
    except (json.JSONDecodeError, TypeError) as error:
        raise UserError(f"{path} is not the configuration of a run: choose another --workdir") from error


def open_workdir(workdir: Path, config: Config, command: str) -> None:
    """Make the folder and write the configuration there, or see that it is this run's folder.

    A run whose learning rate does not depend on its length may be continued with more `steps`.

    Raises:
      UserError: the folder cannot be written, or belongs to a run with other settings.
    """
    path = workdir / "config.json"
    if path.exists():
        old, new = read_config(workdir).training(), config.training()
        if config.schedule != "cosine" and old["steps"] < new["steps"]:
            old["steps"] = new["steps"]
        other = [f"{k} is {old[k]} there, {v} here" for k, v in new.items() if old[k] != v]
        if other:
            raise UserError(f"{workdir} holds another run ({'; '.join(other[:3])}): choose another --workdir")
    write_json(path, dataclasses.asdict(config) | {"command": command})


def execute(config: Config, lab: Lab, workdir: Path, command: str) -> list[dict]:
    """Train and test; a record for every normalisation tested, also in `<workdir>/result-*.json`.

    Raises:
      UserError: as `fit`, or the settings do not fit the dataset.
      Interrupted: as `fit`.
    """
    method = make_method(config, len(lab.dataset.train.counts) * lab.dataset.rotations)
    norms = check_test(config, method, lab)
    open_workdir(workdir, config, command)
    meta, best = fit(config, method, lab, workdir)
    draw_curve(workdir / "metrics.jsonl", workdir / "curve.png", f"{config.method}, {config.dataset}")
    return examine(config, method, lab, workdir, meta, best, norms, command)


def re_examine(config: Config, lab: Lab, workdir: Path, command: str) -> list[dict]:
    """Test the best checkpoint of a run again, with other test settings than it was trained for."""
    trained_by = json.loads((workdir / "config.json").read_text())["command"]
    method = make_method(config, len(lab.dataset.train.counts) * lab.dataset.rotations)
    norms = check_test(config, method, lab)
    meta, best = restore(config, method, lab, workdir)
    return examine(config, method, lab, workdir, meta, best, norms, f"{trained_by} && {command}")


def check_test(config: Config, method: Method, lab: Lab) -> tuple[str, ...]:
    """The normalisations to test under; wrong names and shapes are found here, before hours of training."""
    norms = tuple(config.test_norms.split(",")) if config.test_norms else method.norms
    shape = (config.ways, config.shots, config.queries)
    check(lab.dataset.test, f"{lab.dataset.name}'s test split", *shape, lab.dataset.rotations)
    for norm in norms:
        method.test(norm)
    return norms


def examine(
    config: Config,
    method: Method,
    lab: Lab,
    workdir: Path,
    meta: PyTree,
    best: Best,
    norms: tuple[str, ...],
    command: str,
) -> list[dict]:
    """A record for each of the norms; a test already made, and written down in workdir, is not made again."""
    source = split_source(lab, "test")
    episodes = draw_episodes(source, config.episodes, config.ways, config.shots, config.queries, config.eval_seed)
    exam = Exam(source, episodes, meta, best, seconds_until(workdir / "metrics.jsonl", config.steps))
    records = []
    for norm in norms:
        path = workdir / f"result-{config.ways}w{config.shots}s-{norm}.json"
        record = same_test(path, config, episodes, best.step)
        if record is None:
            record = _examine(config, method, lab, exam, norm, workdir, command)
            write_json(path, record)
        records.append(record)
    return records


def _examine(config: Config, method: Method, lab: Lab, exam: Exam, norm: str, workdir: Path, command: str) -> dict:
    learner = method.test(norm)
    ready = moments_measurer(learner, lab.train, lab.prepare)(exam.meta)
    result = evaluator(learner, exam.source, exam.episodes, lab.prepare, lab.mesh)(ready)
    before = None
    if method.before is not None:
        before = evaluator(method.before(norm), exam.source, exam.episodes, lab.prepare, lab.mesh)(ready)
    picture = workdir / f"episode-{config.ways}w{config.shots}s-{norm}.png"
    transductive = show_first(learner, ready, exam, lab, picture, f"{config.method}, {norm}")
    return make_record(config, norm, transductive, exam.episodes, result, before, exam.best, exam.train_wall_s, command)


def show_first(learner: Learner, meta: PyTree, exam: Exam, lab: Lab, picture: Path, title: str) -> bool:
    """Draw the first test episode; whether a query's prediction there depends on the other queries."""
    raw = make_task(exam.source.images, exam.episodes.indices[0], exam.episodes.shots)
    task = raw._replace(support_x=lab.prepare(raw.support_x), query_x=lab.prepare(raw.query_x))
    adapted = jax.jit(learner.adapt)(jax.random.key(0), meta, task.support_x, task.support_y)
    predicted = jax.jit(learner.predict)(meta, adapted, task.query_x).argmax(-1)
    draw_episode(jax.device_get(raw), np.asarray(predicted), picture, title)
    return is_transductive(learner, meta, task)


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
            f"{r['dataset']} {r['ways']}-way {r['shots']}-shot, {r['method']} {r['backbone']}, {kind} ({r['norm']}): "
            f"{before}{100 * r['accuracy']:.2f} ± {100 * r['ci95']:.2f} % "
            f"(95 % CI, {r['episodes']} test episodes {r['episode_hash']})"
        )
    lines.append(
        f"files: {workdir}/ (result-*.json, curve.png, episode-*.png, metrics.jsonl, tensorboard/, checkpoints/)"
    )
    return "\n".join(lines)
