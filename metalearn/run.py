"""One run from settings to records: train, or resume, or find it done; test; draw; record."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from metalearn.config import Config
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.learners.method import Method
from metalearn.parallel import by_first
from metalearn.records.names import method_of, tested_on
from metalearn.records.pictures import draw_curve, warn_if_not_drawn
from metalearn.records.record import Record
from metalearn.records.seen import check_new_to_body, learned_by
from metalearn.records.workdir import (
    Saved,
    hold_workdir,
    lineage_of,
    read_workdir,
)
from metalearn.settings import STAGES
from metalearn.testing import check_settings, test_run, with_statistics
from metalearn.training.lab import Lab
from metalearn.training.loop import train
from metalearn.training.parts import (
    check_new_classes,
    check_test,
    make_trained,
    training_sampler,
)
from metalearn.training.plan import few_shot_plan
from metalearn.training.state import Run


def check_together(runs: Sequence[Run]) -> None:
    """Find what keeps runs that differ in their seeds alone from being trained and tested together.

    As `check_settings`, before a dataset is loaded.

    Raises:
      UserError: the last one's seed is too large.
    """
    runs[-1].config.check()


def check_one_source(seeds: int, lab: Lab, tested_on: Lab) -> None:
    """See that so many seeds have the same images, and train on ones that are on the devices.

    Args:
      seeds: trained together.
      lab: the dataset to train on.
      tested_on: the dataset to test on.

    Raises:
      UserError: the seed decides the classes of either too, or the training images are streamed.
    """
    after = "train one seed after the other"
    for dataset in (lab.dataset, tested_on.dataset):
        if seeds > 1 and dataset.by_seed:
            raise UserError(
                f"--seeds={seeds}: --seed splits the classes of {dataset.name} too: {after}"
            )
    if seeds > 1 and lab.streamed:
        raise UserError(f"--seeds={seeds}: {lab.dataset.name} is streamed from the host: {after}")


def execute(
    runs: Sequence[Run], lab: Lab, command: str, tested_on: Lab | None = None
) -> list[list[Record]]:
    """Train runs that differ in their seeds alone, together, and test one after the other.

    Args:
      runs: the runs.
      lab: the dataset to train on.
      command: that the records hold.
      tested_on: another dataset to test on, with `inputs` of the first.

    Returns:
      For each run a record for every normalisation tested, also in `<workdir>/result-*.json`.

    Raises:
      UserError: as `train`, or the settings do not fit the dataset, or several are to train on a
        streamed one.
      Interrupted: as `train`.
    """
    runs = [with_earlier(run) for run in runs]
    config = runs[0].config
    method = prepare(config, lab, tested_on or lab, len(runs))
    check_new_to_body(config, (tested_on or lab).dataset)
    _check_teacher(config, lab.dataset)
    check_one_source(len(runs), lab, tested_on or lab)
    records = []
    with ExitStack() as stack:
        for run in runs:
            learned = learned_by(run.config, lab.dataset.train.names)
            saved = Saved(
                run.config,
                command,
                lineage_of(run.config),
                lab.dataset.digest,
                lab.dataset.decoder,
                learned,
            )
            by_first(partial(stack.enter_context, hold_workdir(run.workdir, saved)))
        fitted = train(runs, few_shot_plan(method, lab))
        for run, trained in zip(runs, fitted, strict=True):
            ready = with_statistics(run.config, method, lab, trained)
            records.append(test_run(run, method, tested_on or lab, ready, command))
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


def _check_teacher(config: Config, dataset: Dataset) -> None:
    """See that the run that teaches was trained on these images.

    Another folder's classes are others, although they are as many. A teacher of other settings is
    refused in training, and one of an older version does not say.

    Raises:
      UserError: it was not.
    """
    if not config.teacher:
        return
    there = read_workdir(Path(config.teacher))
    names = ("dataset", "image_size", *(["seed"] if dataset.by_seed else []))
    same = all(getattr(there.config, name) == getattr(config, name) for name in names)
    if same and there.images and there.images != dataset.digest:
        raise UserError(
            f"--teacher={config.teacher} was trained on other images of {dataset.name} than these: "
            "see --data_dir, or name a run on the same images"
        )


def _draw_curve(config: Config, workdir: Path) -> None:
    metrics = workdir / "metrics.jsonl"
    curve = workdir / "curve.png"
    if metrics.exists() and (not curve.exists() or curve.stat().st_mtime < metrics.stat().st_mtime):
        with warn_if_not_drawn(curve):
            draw_curve(metrics, curve, f"{config.method}, {config.dataset}")


def prepare(config: Config, lab: Lab, tested_on: Lab, seeds: int = 1) -> Method:
    """The method for these datasets and so many seeds.

    What does not fit is found here, before hours of training.

    Args:
      config: the settings.
      lab: the dataset to train on.
      tested_on: the dataset to test on.
      seeds: trained together.

    Raises:
      UserError: settings that contradict each other, or do not fit a dataset.
    """
    check_settings(config)
    method = make_trained(config, lab, seeds)
    check_new_classes(config, lab.dataset, tested_on.dataset)
    check_test(config, tested_on, "test")
    check_test(config, lab, "valid")
    training_sampler(config, lab, method.supervised)
    return method


def summary(records: list[Record], workdir: Path, places: str = "") -> str:
    """The lines a run ends with.

    Args:
      records: of its tests.
      workdir: its folder.
      places: flags that say where its data set is, for the next command.
    """
    files = "result-*.json, curve.png, episode-*.png, metrics.jsonl, tensorboard/, checkpoints/"
    config = records[0].config
    shots = 1 if config.shots == 5 else 5
    other = f"experiments.evaluate --workdir={workdir} --shots={shots}{places}, another test of it"
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
        f"{tested_on(config)} {config.ways}-way {config.shots}-shot, {method_of(config)} "
        f"{config.backbone}, {kind} "
        f"({record.test.norm}): {before}{_percent(measured.accuracy, measured.ci95)} "
        f"(95 % CI, {config.episodes} test episodes {record.test.episode_hash})"
    )


def _percent(accuracy: float, ci95: float | None) -> str:
    return f"{100 * accuracy:.2f} ± {100 * (ci95 or 0):.2f} %"
