"""Records: what a run measured, as one JSON file that anyone can check."""

import dataclasses
import json
import math
import shlex
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.checkpoint import Best
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.evaluate import Episodes, Result
from metalearn.files import write_whole
from metalearn.presets import preset
from metalearn.runtime import commit, device_name, peak_memory_mb

WHOLE = "ways shots queries train_ways train_shots episodes eval_seed test_inner_steps seed steps best_step".split()
TEXT = "method dataset backbone norm train_norm episode_hash device precision commit command".split()
SHARE = "accuracy ci95 ece valid_accuracy accuracy_before ci95_before".split()
AMOUNT = "train_wall_s tasks_per_s peak_memory_mb".split()
USUAL = {"transform": Config.transform, "support_copies": Config.support_copies}  # unless the recipe says otherwise


def make_record(
    config: Config,
    norm: str,
    transductive: bool,
    episodes: Episodes,
    result: Result,
    before: Result | None,
    best: Best,
    train_wall_s: float,
    train_peak_mb: float,
    command: str,
) -> dict:
    """Everything to quote a result by; accuracies, CI and ECE as fractions, times in seconds, memory in MiB.

    train_wall_s and tasks_per_s (tested, compilation included) are of this machine, and so is the peak of memory,
    over training and test.
    """
    return {
        "method": config.method,
        "dataset": config.dataset,
        "backbone": config.backbone,
        "ways": config.ways,
        "shots": config.shots,
        "queries": config.queries,
        "support_copies": config.support_copies,
        "transform": _transform(config),
        "train_ways": config.train_ways,
        "train_shots": config.train_shots,
        "norm": norm,
        "train_norm": config.norm,
        "transductive": transductive,
        "episodes": len(result.accuracies),
        "eval_seed": config.eval_seed,
        "episode_hash": episodes.hash,
        "accuracy": round(result.accuracy, 6),
        "ci95": round(result.ci95, 6),
        "accuracy_before": None if before is None else round(before.accuracy, 6),
        "ci95_before": None if before is None else round(before.ci95, 6),
        "test_inner_steps": config.test_inner_steps,
        "ece": round(result.ece, 6),
        "valid_accuracy": round(best.accuracy, 6),
        "seed": config.seed,
        "steps": config.steps,
        "best_step": best.step,
        "train_wall_s": round(train_wall_s, 1),
        "tasks_per_s": round(len(result.accuracies) / result.seconds, 2),
        "peak_memory_mb": max(train_peak_mb, peak_memory_mb()),
        "device": device_name(),
        "precision": config.precision,
        "commit": commit(),
        "command": command,
    }


def _transform(config: Config) -> str | None:
    return config.transform if config.method == "simpleshot" else None


# What of a test and the checkpoint tested its record tells: another test of the run there differs in it.
THE_TEST = ("episode_hash", "steps", "best_step", "test_inner_steps", "support_copies", "transform")


def the_test(config: Config, episodes: Episodes, best_step: int) -> dict:
    """`THE_TEST` of a record that is to be made."""
    own = {"transform": _transform(config), "episode_hash": episodes.hash, "best_step": best_step}
    found = dataclasses.asdict(config) | own
    return {name: found[name] for name in THE_TEST}


def read_record(path: Path) -> dict | None:
    """The record at path if it is a whole one with its counts beside it, else None."""
    if not (path.exists() and counts_path(path).exists()):
        return None
    try:
        record, right = json.loads(path.read_text()), read_counts(path)
    except (ValueError, UserError):
        return None
    whole = isinstance(record, dict) and wrong_field(record) is None and right.shape == (record["episodes"],)
    return record if whole else None


def same_test(path: Path, test: dict) -> dict | None:
    """The record at path if it is a whole one of this very test of this very checkpoint, see `the_test`, else None."""
    record = read_record(path)
    return record if record and test.items() <= record.items() else None


def wrong_field(record: dict) -> str | None:
    """The name of a field that is missing in a record or cannot be right, None if all are fine."""

    def number(value: Any, most: float) -> bool:
        return type(value) in (int, float) and 0 <= value <= most and math.isfinite(value)

    checks: list[tuple[Iterable[str], Callable[[Any], bool]]] = [
        (TEXT, lambda v: isinstance(v, str) and "\n" not in v),
        (WHOLE, lambda v: type(v) is int),
        (("transductive",), lambda v: isinstance(v, bool)),
        (SHARE[:-2], lambda v: number(v, 1)),
        (SHARE[-2:], lambda v: v is None or number(v, 1)),
        (AMOUNT, lambda v: number(v, math.inf)),
    ]
    for names, fine in checks:
        for name in names:
            if name not in record or not fine(record[name]):
                return name
    try:
        shlex.split(record["command"])
    except ValueError:
        return "command"
    return None


def dataset_slug(config: Config) -> str:
    """The dataset's name as part of a file's name."""
    return file_name(config.dataset)


def file_name(dataset: str) -> str:
    """A dataset's name without what a file's name cannot have."""
    return dataset.replace(":", "_").replace("/", "_")


def unusual(record: dict) -> list[str]:
    """What a record says of a method's head that is not its recipe's: `l2` of simpleshot, `1 copy` of rfs."""
    usual = USUAL | preset(record["method"], record["dataset"], record["shots"])
    transform, copies = (record.get(name) for name in USUAL)
    notes = [] if transform in (None, usual["transform"]) else [transform]
    if copies not in (None, usual["support_copies"]):
        notes.append("1 copy" if copies == 1 else f"{copies} copies")
    return notes


def method_of(record: dict) -> str:
    """`simpleshot`, or `simpleshot (l2)` where its head is not as its recipe has it."""
    notes = unusual(record)
    return f"{record['method']} ({', '.join(notes)})" if notes else str(record["method"])


def test_slug(config: Config) -> str:
    """`<N>w<K>s`, `<Q>q` if the query images a class are not the usual 15, and what is `unusual`: `5w1s1q-l2`."""
    queries = "" if config.queries == Config.queries else f"{config.queries}q"
    head = unusual(dataclasses.asdict(config) | {"transform": _transform(config)})
    return "-".join([f"{config.ways}w{config.shots}s{queries}", *(note.replace(" ", "") for note in head)])


def run_slug(config: Config, norm: str) -> str:
    """`<method>-[<training>-…]<backbone>-<test_slug>-<norm>-seed<k>`: `protonet-init-conv4-64-5w1s-running-seed0`."""
    ways = {
        "svm": config.method == "metaoptnet" and config.head == "svm",
        "contextual": config.contextual,
        "cosine": config.distance == "cosine",
        "pulled": config.pull_always,
        "rotation": config.rotation,
        "distilled": config.teacher,
        "init": config.init_from,
    }
    how = "".join(f"{name}-" for name, given in ways.items() if given)
    return f"{config.method}-{how}{config.backbone}-{test_slug(config)}-{norm}-seed{config.seed}"


def record_path(root: Path, config: Config, norm: str) -> Path:
    """`<root>/<dataset>/<run_slug>.json`."""
    return Path(root) / dataset_slug(config) / f"{run_slug(config, norm)}.json"


def free_path(path: Path, command: str) -> Path:
    """The path, or with -2, -3, … at its end, where there is no record, or one that the same command made."""
    for number in count(2):
        try:
            if json.loads(path.read_text())["command"] == command:
                return path
        except FileNotFoundError:
            return path
        except (ValueError, KeyError, TypeError):
            pass  # whatever it is, it is not ours
        path = path.with_name(f"{path.stem.removesuffix(f'-{number - 1}')}-{number}.json")
    raise AssertionError


def counts_path(path: Path) -> Path:
    """Where a record's right queries of each episode are counted: beside it, `.npy` for `.json`."""
    return path.with_suffix(".npy")


def write_json(path: Path, value: dict) -> None:
    """Write whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    write_whole(path, lambda file: file.write((json.dumps(value, indent=2) + "\n").encode()))


def write_counts(path: Path, right: np.ndarray) -> None:
    """Write how many queries of each episode [E] were right, beside the record at path; whole or not at all.

    With them two methods can be compared episode by episode.

    Raises:
      UserError: the file cannot be written.
    """
    counts = np.rint(right).astype(np.uint8 if right.max() < 255 else np.uint32)
    write_whole(counts_path(path), lambda file: np.save(file, counts, allow_pickle=False))


def read_counts(path: Path) -> np.ndarray:
    """How many queries of each episode [E] were right in the test of the record at path.

    Raises:
      UserError: there is no such file, or it is not whole.
    """
    try:
        return np.load(counts_path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {counts_path(path)}: {error}; make the record again") from error
