"""Rewrite records of the first format, which kept no settings, as records that do. Used once, then removed.

`python results/rewrite.py DATA_DIR`, in the root of a checkout with its history. For each record the settings that its
command gives at the record's own commit (its flags and recipes then, run in an archive of it) are compared with those
that it gives today, and with the fields that the record had. Any difference ends the program before a file is written.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from metalearn.config import Config
from metalearn.data import load
from metalearn.records.record import (
    Evaluation,
    Measured,
    Provenance,
    Record,
    Stage,
    config_from_json,
    from_json,
    settings,
    to_json,
)
from metalearn.records.store import write_record

ROOT = Path(__file__).resolve().parent
FIELDS = "ways shots queries train_ways train_shots episodes eval_seed test_inner_steps seed steps".split()
FIELDS += "method dataset backbone precision support_copies".split()

AT_COMMIT = """
import dataclasses, json, shlex, sys
from absl import flags
import experiments.evaluate as evaluate
import experiments.flags as program
from metalearn.presets import DEFAULTS

DEFAULT = {"maml": "maml", "protonet": "protonet", "embedding": "protonet", "finetune": "baseline"}

def parse(default, words):
    for flag in list(flags.FLAGS.flags_by_module_dict().get("experiments.flags", [])):
        delattr(flags.FLAGS, flag.name)
    program.define(default, tuple(DEFAULTS))
    flags.FLAGS(["", *words])

def stages(commands):
    found = []
    for command in commands:
        module, *words = shlex.split(command)[2:]
        name = module.removeprefix("experiments.")
        if name == "evaluate":
            parse(None, words)
            given = program.test_settings_given()
            recipe = getattr(evaluate, "head_recipe", lambda trained, given: {})(found[-1], given)
            found[-1] = dataclasses.replace(found[-1], **(recipe | given))
        else:
            parse(DEFAULT[name], words)
            found.append(program.config_from_flags())
    return [dataclasses.asdict(config) for config in found]

json.dump([stages(commands) for commands in json.load(sys.stdin)], sys.stdout)
"""


def settings_at(commit: str, chains: list[list[str]]) -> list[list[dict[str, Any]]]:
    """The settings of each training of each chain of commands, by the flags and recipes of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT.parent, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
        env = os.environ | {"PYTHONPATH": folder, "METALEARN_STARTED": "1"}
        done = subprocess.run(
            [sys.executable, "-c", AT_COMMIT],
            input=json.dumps(chains).encode(),
            stdout=subprocess.PIPE,
            env=env,
            cwd=folder,
            check=True,
        )
    return json.loads(done.stdout)


def check(path: Path, old: dict[str, Any], then: list[dict], now: list[dict]) -> None:
    """Raise unless the settings of then and of now agree, and with the record's own fields."""
    for a, b in zip(then, now, strict=True):
        newer = {name: getattr(Config, name) for name in b.keys() - a.keys()}
        assert a | newer == b, (path, a, b)
    last = now[-1]
    for name in FIELDS:
        assert name not in old or old[name] == last[name], (path, name)
    assert old["train_norm"] == last["norm"], path
    assert old.get("transform") in (None, last["transform"]), path


def rewritten(old: dict[str, Any], stages: list[dict], seconds: list[float | None], images: str) -> Record:
    """The record of today's form."""
    *earlier, own = [config_from_json(stage) for stage in stages]
    lineage: tuple[Stage, ...] = ()
    for i, config in enumerate(earlier):
        role = "teacher" if (earlier[i + 1] if i + 1 < len(earlier) else own).teacher else "init_from"
        lineage = (Stage(role, config, lineage, seconds[i]),)
    names = [f.name for f in dataclasses.fields(Measured)]
    return Record(
        own,
        Evaluation(old["norm"], old["episode_hash"], old["best_step"]),
        Measured(**{name: old[name] for name in names}),
        lineage,
        Provenance(old["command"], old["commit"], old["device"], images),
    )


def main(data_dir: str) -> None:
    """Check all, then write all."""
    paths = [p for p in sorted(ROOT.glob("*/*.json")) if p.parent.name != "benchmarks"]
    old = {path: json.loads(path.read_text()) for path in paths}
    old = {path: record for path, record in old.items() if "config" not in record}
    chains = {path: record["command"].split(" && ") for path, record in old.items()}
    now = dict(zip(old, settings_at("HEAD", list(chains.values())), strict=True))
    for commit in sorted({record["commit"].rstrip("+") for record in old.values()}):
        made = [path for path, record in old.items() if record["commit"].rstrip("+") == commit]
        for path, then in zip(made, settings_at(commit, [chains[p] for p in made]), strict=True):
            check(path, old[path], then, now[path])
        print(commit, len(made), "agree", flush=True)
    # the readers of these have given the same arrays since the first record; glyphs depend on Pillow
    images = {name: load(name, data_dir).digest for name in ("cifar_fs", "fc100", "omniglot")}
    by_command = {record["command"]: record["train_wall_s"] for record in old.values()}
    for path, record in old.items():
        trainings = [c for c in chains[path] if " experiments.evaluate" not in c]
        seconds = [by_command.get(" && ".join(trainings[: i + 1])) for i in range(len(trainings) - 1)]
        new = rewritten(record, now[path], seconds, images.get(record["dataset"], ""))
        back = from_json(json.loads(json.dumps(to_json(new))))
        assert settings(back.config) == settings(new.config) and back.identity == new.identity, path
        write_record(path, new)


main(sys.argv[1])
