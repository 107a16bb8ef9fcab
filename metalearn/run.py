"""One run from configuration to record: train, or resume, or find it done; test; draw; write down."""

import json
from pathlib import Path

import jax
import numpy as np

from metalearn.base import PyTree
from metalearn.checkpoint import Best
from metalearn.config import Config
from metalearn.data.episodes import check, make_task
from metalearn.errors import UserError
from metalearn.evaluate import Episodes, draw_episodes, evaluator, is_transductive, moments_measurer
from metalearn.fit import Lab, fit, split_source
from metalearn.methods import Method, make_method
from metalearn.metrics import seconds_until
from metalearn.pictures import draw_curve, draw_episode
from metalearn.record import make_record, write_json


def open_workdir(workdir: Path, config: Config) -> None:
    """Make the folder and write the configuration there, or see that it is this run's folder.

    Raises:
      UserError: the folder cannot be written, or belongs to a run with other settings.
    """
    path = workdir / "config.json"
    if path.exists():
        try:
            old = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is not whole: delete {workdir} or choose another --workdir") from error
        mine = config.training()
        other = [f"{k} is {old.get(k)} there, {v} here" for k, v in mine.items() if old.get(k) != v]
        if other:
            raise UserError(f"{workdir} holds another run ({'; '.join(other[:3])}): choose another --workdir")
    else:
        write_json(path, config.training())


def execute(config: Config, lab: Lab, workdir: Path, command: str) -> list[dict]:
    """Train and test; a record for every normalisation tested, also in `<workdir>/result-<norm>.json`.

    Raises:
      UserError: as `fit`, or the settings do not fit the dataset.
      Interrupted: as `fit`.
    """
    dataset = lab.dataset
    method = make_method(config, len(dataset.train.counts) * dataset.rotations)
    norms = tuple(config.test_norms.split(",")) if config.test_norms else method.norms
    shape = (config.ways, config.shots, config.queries)
    check(dataset.test, f"{dataset.name}'s test split", *shape, dataset.rotations)
    for norm in norms:
        method.test(norm)  # a wrong name is better found before training
    open_workdir(workdir, config)
    meta, best = fit(config, method, lab, workdir)
    draw_curve(workdir / "metrics.jsonl", workdir / "curve.png", f"{config.method}, {config.dataset}")
    source = split_source(lab, "test")
    episodes = draw_episodes(source, config.episodes, *shape, seed=config.eval_seed)
    seconds = seconds_until(workdir / "metrics.jsonl", config.steps)
    records = []
    for norm in norms:
        record = test(config, method, lab, meta, best, norm, source, episodes, workdir, seconds, command)
        write_json(workdir / f"result-{norm}.json", record)
        records.append(record)
    return records


def test(
    config: Config,
    method: Method,
    lab: Lab,
    meta: PyTree,
    best: Best,
    norm: str,
    source,
    episodes: Episodes,
    workdir: Path,
    seconds: float,
    command: str,
) -> dict:
    """The record of one normalisation, and `episode-<norm>.png` of the first test episode."""
    learner = method.test(norm)
    with_moments = moments_measurer(learner, lab.train, lab.prepare)
    ready = with_moments(meta)
    result = evaluator(learner, source, episodes, lab.prepare, lab.mesh)(ready)
    before = None
    if method.before is not None:
        before = evaluator(method.before(norm), source, episodes, lab.prepare, lab.mesh)(ready)
    raw = make_task(source.images, episodes.indices[0], episodes.shots)
    task = raw._replace(support_x=lab.prepare(raw.support_x), query_x=lab.prepare(raw.query_x))
    adapted = jax.jit(learner.adapt)(jax.random.key(0), ready, task.support_x, task.support_y)
    predicted = np.asarray(jax.jit(learner.predict)(ready, adapted, task.query_x).argmax(-1))
    draw_episode(jax.device_get(raw), predicted, workdir / f"episode-{norm}.png", f"{config.method}, {norm}")
    transductive = is_transductive(learner, ready, task)
    return make_record(config, norm, transductive, episodes, result, before, best.step, best.accuracy, seconds, command)


def summary(records: list[dict], workdir: Path) -> str:
    """The lines a run ends with."""
    lines = []
    for r in records:
        kind = "transductive" if r["transductive"] else "inductive"
        before = (
            ""
            if r["accuracy_before"] is None
            else (f"before adaptation {100 * r['accuracy_before']:.2f} ± {100 * r['ci95_before']:.2f} %, after ")
        )
        lines.append(
            f"{r['dataset']} {r['ways']}-way {r['shots']}-shot, {r['method']} {r['backbone']}, {kind} ({r['norm']}): "
            f"{before}{100 * r['accuracy']:.2f} ± {100 * r['ci95']:.2f} % "
            f"(95 % CI, {r['episodes']} test episodes {r['episode_hash']})"
        )
    lines.append(
        f"files: {workdir} (result-*.json, metrics.jsonl, curve.png, episode-*.png, checkpoints/, tensorboard/)"
    )
    return "\n".join(lines)
