"""Programs as a user starts them: every method on a folder of images, and what is said when
something is wrong.
"""

import json
import os
import re
import shlex
import shutil
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments._cli.flags import trained_config
from experiments._cli.lab import check_few_shot
from experiments._cli.start import guarded
from metalearn import testing
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.registry import EMBEDDING, PRETRAINED
from metalearn.records.store import counts_path
from tests.programs import contents, make_images, process, program, results, told, weights, words

PROGRAM = dict.fromkeys(PRETRAINED, "finetune") | dict.fromkeys(EMBEDDING, "embedding")
NORMS = dict.fromkeys(PROGRAM, ("running",))
TRANSDUCTIVE = ("laplacianshot", "tim", "transductive_finetune")
WHOLE_ROAD = ("maml", "protonet", "rfs", "transductive_finetune")  # one of each kind
CHOSEN = {"transductive_finetune": {"inner_lr": 0.1}}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("folder") / "images")


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of protonet; copy it before changing it."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    assert program("protonet", *words(images, workdir=workdir)).code == 0
    return workdir


@pytest.fixture(scope="module")
def maml(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of maml; copy it before changing it."""
    workdir = tmp_path_factory.mktemp("maml") / "run"
    assert program("maml", *words(images, workdir=workdir)).code == 0
    return workdir


@pytest.mark.parametrize("method", WHOLE_ROAD)
def test_every_kind_of_method_runs_and_is_found_done(
    method: str, images: Path, tmp_path: Path
) -> None:
    workdir, norms = tmp_path / "run", NORMS.get(method, ("batch", "support"))
    chosen, backbone = CHOSEN.get(method, {}), CHOSEN.get(method, {}).get("backbone", "conv2-8")
    places = {"workdir": workdir, "results_dir": tmp_path / "results"}
    command = words(images, method=method, **chosen, **places) + ["--record"]
    said = program(PROGRAM.get(method, "maml"), *command)
    assert said.code == 0, said
    first, *_, files, last = said.out.splitlines()
    assert (
        first.startswith(f"{method} on folder, {backbone} (")
        and "2-way 1-shot: training to step 4;" in first
    )
    assert (
        str(workdir) in first and files.startswith(f"files: {workdir}") and last.startswith("next ")
    )
    assert (
        said.out.count("recorded: ") == len(norms) == said.out.count("(95 % CI, 6 test episodes ")
    )

    kinds = (("episode", "png"), ("result", "json"), ("result", "npy"))
    named = [f"{kind}-2w1s3q-{norm}.{end}" for norm in norms for kind, end in kinds]
    folders = ["checkpoints", *(["tensorboard"] if find_spec("tensorboardX") else [])]
    assert sorted(os.listdir(workdir)) == sorted(
        [*named, *folders, "config.json", "curve.png", "metrics.jsonl"]
    )
    for norm in norms:
        record = told(workdir / f"result-2w1s3q-{norm}.json")
        folder = f"folder-{record['images'][:8]}"
        kept = tmp_path / "results" / folder / f"{method}-{backbone}-2w1s3q-{norm}-seed0.json"
        assert told(kept) == record and counts_path(kept).exists()
        check_record(record, method, norm, backbone)
    rate = "images_per_s" if PROGRAM.get(method) == "finetune" else "tasks_per_s"
    raw = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in raw] == [2, 2, 4, 4]
    assert all(
        {"loss", "accuracy", rate, "seconds", "peak_memory_mb"} == row.keys() - {"step"}
        for row in raw[::2]
    )
    assert sum(row.get("seconds", 0) for row in raw) == pytest.approx(
        record["train_wall_s"], abs=0.06
    )

    before = contents(tmp_path)
    again = program(PROGRAM.get(method, "maml"), *command)
    assert again.code == 0 and "trained to step 4 already" in again.out
    of_training = ("step ", "tensorboardX is not installed")
    rest = [line for line in said.out.splitlines()[1:] if not line.startswith(of_training)]
    assert again.out.splitlines()[1:] == rest
    after = contents(tmp_path)
    assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}
    assert {k for k in before if before[k] != after[k]} <= {
        k for k in before if k.startswith("results/")
    }


def test_transductive_field_of_a_record_is_what_the_probe_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against what the method and its normalisation would say."""
    monkeypatch.setattr("metalearn.testing.is_transductive", lambda *_: True)
    images = make_images(tmp_path / "images")
    said = program("protonet", *words(images, steps=2, norm="running", workdir=tmp_path / "run"))
    (path,) = (tmp_path / "run").glob("result-*.json")
    assert "transductive (running)" in said.out and told(path)["transductive"], said


def check_record(record: dict, method: str, norm: str, backbone: str) -> None:
    wanted = {
        "method": method,
        "dataset": "folder",
        "norm": norm,
        "ways": 2,
        "shots": 1,
        "queries": 3,
        "seed": 0,
    }
    wanted |= {
        "episodes": 6,
        "eval_seed": 0,
        "steps": 4,
        "backbone": backbone,
        "precision": "float32",
    }
    assert wanted.items() <= record.items()
    assert record["transductive"] == (norm == "batch" or method in TRANSDUCTIVE) and record[
        "best_step"
    ] in (2, 4)
    assert 0 <= record["accuracy"] <= 1 and record["ci95"] >= 0 and 0 <= record["ece"] <= 1
    assert (record["accuracy_before"] is None) == (method in PROGRAM or method == "proto_maml")
    assert (
        len(record["episode_hash"]) == 16
        and record["peak_memory_mb"] > 1
        and record["tasks_per_s"] > 0
    )
    assert record["train_wall_s"] > 0 and record["device"] and record["commit"]
    assert "data_dir" not in record["command"] and "--record" not in record["command"]


WRONG = [  # program, settings, what the one line must say
    ("maml", {"dataset": "omniglott"}, "unknown dataset 'omniglott'. Did you mean omniglot?"),
    ("protonet", {"dataset": "labelled"}, "labelled trains on 12 of labelled's test classes"),
    ("maml", {"backbone": "conv5"}, "unknown backbone 'conv5': choose one of conv2-8, conv4-8"),
    ("maml", {"method": "reptil"}, "flag --method=reptil"),
    ("protonet", {"method": "maml"}, "flag --method=maml"),
    ("maml", {"norm": "running"}, "gradient methods normalise by batch"),
    ("protonet", {"norm": "bacth"}, "embedding methods normalise by running"),
    ("maml", {"test_norms": "batch,bacth"}, "not 'bacth'"),
    ("maml", {"test_norms": "group"}, "--test_norms group does not fit"),
    ("protonet", {"norm": "group", "test_norms": "running"}, "--test_norms running does not fit"),
    ("maml", {"augment": "flop"}, "unknown augmentation 'flop'"),
    ("maml", {"schedule": "linaer"}, "unknown schedule 'linaer'"),
    ("maml", {"schedule": "halve:0"}, "unknown schedule 'halve:0'"),
    ("maml", {"momentum": 0.9}, "--momentum is of --optimizer=sgd, and this training's is adam"),
    ("maml", {"nesterov": True}, "--nesterov is of --optimizer=sgd"),
    ("maml", {"decay": "all"}, "--decay=all says what --weight_decay acts on, and that is 0"),
    ("maml", {"optimizer": "adamw"}, "unknown optimizer 'adamw'"),
    ("maml", {"precision": "float16"}, "unknown precision 'float16'"),
    ("maml", {"first_order": True}, "--method=fomaml"),
    ("protonet", {"distance": "manhattan"}, "manhattan"),
    ("maml", {"distance": "cosine"}, "--distance is of protonet, not of maml; leave it out"),
    (
        "embedding",
        {"method": "r2d2", "contextual": True},
        "--contextual is of matchingnet, not of r2d2",
    ),
    ("protonet", {"inner_lr": 0.1}, "--inner_lr is of maml, fomaml, "),
    ("maml", {"batch_size": 7}, "--batch_size is of baseline, "),
    (
        "finetune",
        {"method": "rfs", "train_ways": 3},
        "matchingnet, relationnet, r2d2, metaoptnet, not of rfs; leave",
    ),
    (
        "finetune",
        {"method": "simpleshot", "transform": "l3"},
        "simpleshot's transform must be one of none, l2, cl2n",
    ),
    (
        "finetune",
        {"method": "finetune", "norm": "support"},
        "fine-tuning of all weights normalises by running, batch",
    ),
    ("embedding", {"method": "relationnet"}, "--backbone=conv2-8 has none, conv4-64-map does"),
    (
        "embedding",
        {"method": "metaoptnet", "head": "tree"},
        "head must be svm or ridge, not 'tree'",
    ),
    ("maml", {"ways": 1}, "--ways must be at least 2, not 1"),
    ("maml", {"shots": 0}, "--shots must be at least 1, not 0"),
    ("maml", {"queries": 0}, "--queries must be at least 1, not 0"),
    ("maml", {"train_queries": 0}, "--train_queries must be at least 1, not 0"),
    ("maml", {"ways": 3}, "3-way episodes need 3 classes, but folder's test split has 2"),
    ("maml", {"queries": 8}, "has 8 images, fewer than 1 shots + 8 queries"),
    (
        "maml",
        {"train_queries": 8},
        "folder's training split has 8 images, fewer than 1 shots + 8 queries",
    ),
    (
        "protonet",
        {"train_ways": 9},
        "9-way episodes need 9 classes, but folder's training split has 8",
    ),
    ("maml", {"train_ways": 3}, "--ways=2 must equal the --train_ways=3 of its training"),
    ("maml", {"meta_batch": 0}, "--meta_batch must be at least 1, not 0"),
    ("maml", {"meta_batch": 3, "devices": 2}, "--meta_batch=3 cannot be shared out to 2 devices"),
    ("maml", {"devices": 3}, "--devices=3 asks for 3 devices, but there are 2"),
    ("maml", {"devices": 0}, "--devices=0 asks for 0 devices"),
    ("finetune", {"batch_size": 7}, "--batch_size=7 is no multiple of --meta_batch=2"),
    ("finetune", {"batch_size": 0}, "--batch_size must be at least 1, not 0"),
    ("maml", {"steps": -5}, "--steps must be at least 0, not -5"),
    ("maml", {"steps": 10**12}, "--steps must be at most 2147483646"),
    ("maml", {"valid_every": 0}, "--valid_every must be at least 1, not 0"),
    ("maml", {"episodes": 1}, "--episodes must be at least 2, not 1"),
    ("maml", {"seed": -1}, "--seed must be at least 0, not -1"),
    ("maml", {"lr": "nan"}, "--lr must be at least 0, not nan"),
    ("maml", {"lr": "fast"}, "flag --lr=fast"),
    ("maml", {"lr": "inf"}, "--lr must be a finite number, not inf"),
    ("protonet", {"scale": "nan"}, "--scale must be a finite number, not nan"),
    ("maml", {"schedule": "halve:²"}, "unknown schedule 'halve:²'"),
    ("maml", {"seeds": 10**6}, "flag --seeds=1000000"),
    ("maml", {"image_size": 10**6}, "--image_size=1000000 is too large: at most 4096"),
    (
        "maml",
        {"dataset": "glyphs"},
        "--image_size: the images of glyphs have the size that is published",
    ),
    ("maml", {"sters": 3}, "Unknown command line flag 'sters'"),
    ("maml", {"data_dir": "/nowhere/at/all"}, "/nowhere/at/all is no folder"),
    (
        "maml",
        {"workdir": "/proc/run"},
        "cannot write /proc/run: No such file or directory",
    ),
    ("maml", {"record": "true", "results_dir": "/proc/results"}, "cannot write /proc/results:"),
]


@pytest.mark.parametrize(("name", "settings", "line"), WRONG, ids=[f"{n}-{s}" for n, s, _ in WRONG])
def test_wrong_setting_is_a_one_line_error(
    name: str, settings: dict, line: str, images: Path, tmp_path: Path
) -> None:
    said = program(name, *words(images, **({"workdir": tmp_path / "run"} | settings)))
    assert line in said.complaint and "Traceback" not in said.err + said.out
    assert (
        said.out == "" and list(tmp_path.iterdir()) == []
    )  # mended, the same command may run here


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "error: out of memory: lower --meta_batch"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
            "error: out of memory (RESOURCE_EXHAUSTED: Out",
        ),
    ],
)
def test_too_little_memory_is_a_one_line_error(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise error

    assert guarded(run) == 2
    said = capsys.readouterr().err
    assert said.startswith(line) and "--tasks_per_device=1" in said and said.count("\n") == 1


def test_value_of_a_boolean_flag_is_refused(images: Path) -> None:
    assert (
        "--nostream=1 does not take an argument"
        in program("maml", *words(images), "--nostream=1").complaint
    )


def test_stray_word_on_the_command_line_is_refused(images: Path) -> None:
    assert "unexpected argument 'go'" in program("maml", *words(images), "go").complaint


def test_folder_of_another_run_is_refused_and_kept(trained: Path, images: Path) -> None:
    before = contents(trained)
    said = program("protonet", *words(images, workdir=trained, lr=0.5, seed=1))
    assert (
        "holds another run (lr is 0.001 there, 0.5 here; seed is 0 there, 1 here)" in said.complaint
    )
    assert (
        "(method is protonet there, maml here"
        in program("maml", *words(images, workdir=trained)).complaint
    )
    assert contents(trained) == before


def test_evaluate_tests_a_run_again_at_other_shots(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    said = program("evaluate", *places(images), f"--workdir={workdir}", "--shots=2", "--episodes=8")
    assert said.code == 0 and "2-way 2-shot, protonet conv2-8, inductive (running): " in said.out
    record = told(workdir / "result-2w2s3q-running.json")
    assert (record["shots"], record["train_shots"], record["episodes"]) == (2, 1, 8)
    assert json.loads((workdir / "result-2w1s3q-running.json").read_text()) == json.loads(
        (trained / "result-2w1s3q-running.json").read_text()
    )
    assert (workdir / "episode-2w2s3q-running.png").exists()
    assert (workdir / "config.json").read_bytes() == (trained / "config.json").read_bytes()


def test_on_other_episodes_keeps_the_first_record(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    before = contents(workdir)
    said = [
        program("evaluate", *places(images), f"--workdir={workdir}", "--episodes=8")
        for _ in range(2)
    ]
    assert all(s.code == 0 and "95 % CI, 8 test episodes" in s.out for s in said)
    after = contents(workdir)
    assert before.items() <= after.items()
    hashed = told(workdir / "result-2w1s3q-running.json")["episode_hash"]
    (other,) = (p for p in workdir.glob("result-*.json") if hashed not in p.read_text())
    record = told(other)
    assert (
        re.fullmatch("result-2w1s3q-running-[0-9a-f]{16}.json", other.name)
        and record["episodes"] == 8
    )
    assert after.keys() - before.keys() == {
        other.name,
        other.with_suffix(".npy").name,
        other.name.replace("result", "episode").replace("json", "png"),
    }


def test_with_other_inner_steps_keeps_the_first_record(
    images: Path, maml: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(maml, workdir)
    before = contents(workdir)
    for steps in (1, 2):
        tested = (f"--workdir={workdir}", "--test_norms=batch", f"--test_inner_steps={steps}")
        said = program("evaluate", *places(images), *tested)
        assert said.code == 0
        assert before.items() <= contents(workdir).items()
    found = [
        record["test_inner_steps"]
        for record in results(workdir).values()
        if record["norm"] == "batch"
    ]
    assert sorted(found) == [1, 2]


def test_two_tests_at_once_keep_both_records(images: Path, trained: Path, tmp_path: Path) -> None:
    """The second ends while the first is under way: both have found the same name to be free."""
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    examine, commands = (
        testing._measure,
        [[f"--workdir={workdir}", "--shots=2", f"--episodes={n}"] for n in (7, 8)],
    )

    def meanwhile(*args: Any) -> Any:
        found = examine(*args)
        assert process("evaluate", *places(images), *commands[1], cwd=tmp_path).code == 0
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_measure", meanwhile)
        assert program("evaluate", *places(images), *commands[0]).code == 0
    assert sorted(r["episodes"] for r in results(workdir).values() if r["shots"] == 2) == [7, 8]


def places(images: Path) -> list[str]:
    return [word for word in words(images) if word.startswith(("--data_dir", "--cache_dir"))]


def test_command_in_a_record_makes_it_again(
    images: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "elsewhere/run")
    assert program("evaluate", *places(images), "--workdir", "elsewhere/run", "--shots=2").code == 0
    want = results(tmp_path / "elsewhere" / "run")
    train, test = want["result-2w2s3q-running.json"]["command"].split(" && ")
    for command in (train, test):
        python, m, module, *rest = shlex.split(command)
        assert (python, m) == ("python", "-m") and "elsewhere" not in command
        assert program(module.removeprefix("experiments."), *rest, *places(images)).code == 0
    assert results(tmp_path / "runs" / "folder-protonet-conv2-8-2w1s3q-running-seed0") == want


def test_gradient_method_is_tested_under_support_moments(
    images: Path, maml: Path, tmp_path: Path
) -> None:
    shutil.copytree(maml, tmp_path / "run")
    for path in (tmp_path / "run").glob("*-support.*"):
        path.unlink()
    workdir = f"--workdir={tmp_path / 'run'}"
    said = program("evaluate", *places(images), workdir, "--test_norms=support")
    assert said.code == 0 and "inductive (support): before adaptation" in said.out
    refused = program("evaluate", *places(images), workdir, "--ways=3")
    assert "--ways=3 must equal the --train_ways=2 of its training" in refused.complaint


def test_one_trained_body_serves_other_methods(images: Path, tmp_path: Path) -> None:
    """With the heads of their own recipes; nothing is trained, and the run keeps its own record."""
    workdir = tmp_path / "run"
    assert program("finetune", *words(images, method="baseline", workdir=workdir)).code == 0
    before = contents(workdir)
    for method, copies, transform in (
        ("rfs", 5, None),
        ("simpleshot", 1, "cl2n"),
        ("laplacianshot", 1, None),
    ):
        said = program("evaluate", *places(images), f"--workdir={workdir}", f"--method={method}")
        assert said.code == 0 and f"2-way 1-shot, {method} conv2-8, " in said.out
        record = told(workdir / f"result-{method}-2w1s3q-running.json")
        assert (record["method"], record["support_copies"], record.get("transform")) == (
            method,
            copies,
            transform,
        )
        assert record["transductive"] == (method == "laplacianshot")
    other = program(
        "evaluate", *places(images), f"--workdir={workdir}", "--method=simpleshot", "--transform=l2"
    )
    assert (
        "simpleshot (l2) conv2-8, " in other.out
        and (workdir / "result-simpleshot-2w1s3q-l2-running.json").exists()
    )
    after = contents(workdir)
    assert {k: after[k] for k in before} == before
    refused = program("evaluate", *places(images), f"--workdir={workdir}", "--method=baseline++")
    assert "--method=baseline++ is trained otherwise than baseline" in refused.complaint
    refused = program(
        "evaluate", *places(images), f"--workdir={workdir}", "--method=rfs", "--transform=none"
    )
    assert "--transform is of simpleshot, not of rfs" in refused.complaint


def test_init_from_begins_with_another_runs_body(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    of = partial(words, images, steps=1, valid_every=1, lr=0, method=None, init_from=trained)
    # Its network, too, not that of the recipe
    assert program("protonet", *of(workdir=tmp_path / "run", backbone=None)).code == 0
    maps = trained_config({"method": "relationnet", "init_from": str(trained)})
    assert maps.backbone == "conv4-64-map"
    # A rate of 0: as it began
    old, new = (
        weights(trained, "best"),
        weights(tmp_path / "run", "best"),
    )
    bodies = [{path: x for path, x in tree.items() if "body" in path} for tree in (old, new)]
    assert bodies[0] and bodies[0].keys() == bodies[1].keys()
    assert all((x == bodies[1][path]).all() for path, x in bodies[0].items())
    command = results(tmp_path / "run")["result-2w1s3q-running.json"]["command"]
    assert (
        command.startswith("python -m experiments.")
        and " && python -m experiments.protonet " in command
    )
    assert " --init_from=runs/folder-" in command and str(tmp_path) not in command
    other = program("protonet", *of(workdir=tmp_path / "other", backbone="conv4-32"))
    assert "another body" in other.complaint and "give --backbone=conv2-8" in other.complaint
    # Of the same shapes, and yet another network
    grouped = program("protonet", *of(workdir=tmp_path / "grouped", norm="group"))
    assert grouped.code == 2 and "--norm=running" in grouped.complaint
    nowhere = program("protonet", *of(workdir=tmp_path / "third", init_from=tmp_path / "none"))
    assert "holds no run" in nowhere.complaint


def test_teacher_adds_another_runs_predictions(images: Path, trained: Path, tmp_path: Path) -> None:
    """And keeps nothing of its teacher but what it has learned: its parameters are as many as
    without.
    """
    of = partial(words, images, method="rfs", support_copies=1)
    first, second = tmp_path / "first", tmp_path / "second"
    assert program("finetune", *of(workdir=first)).code == 0
    assert program("finetune", *of(workdir=second, teacher=first)).code == 0
    for kind in ("latest", "best"):
        old, new = weights(first, kind), weights(second, kind)
        assert {k: x.shape for k, x in old.items()} == {k: x.shape for k, x in new.items()}
    assert any((x != new[k]).any() for k, x in old.items())
    command = results(second)["result-2w1s3q-1copy-running.json"]["command"]
    assert command.count("experiments.finetune") == 2 and str(tmp_path) not in command
    assert " --teacher=runs/folder-rfs-conv2-8-2w1s3q-1copy-running-seed0" in command
    shutil.rmtree(second / "checkpoints" / "latest" / "4")
    for number, (wrong, why) in enumerate(
        [
            ({"teacher": trained}, "protonet does not classify the base classes"),
            ({"teacher": tmp_path / "none"}, "holds no run"),
            ({"teacher": second}, "is trained to step 2 of 4: run its training command"),
            (
                {"teacher": first, "seed": 1},
                "folder at 8 pixels, split by seed 0, not those of folder at 8 pixels, sp",
            ),
        ]
    ):
        assert (
            why in program("finetune", *of(workdir=tmp_path / f"wrong{number}", **wrong)).complaint
        )


def test_evaluate_refuses_what_cannot_be_tested_again(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    run = [*places(images), f"--workdir={trained}"]
    assert "--lr belongs to training" in program("evaluate", *run, "--lr=0.1").complaint
    assert (
        "--method=rfs is trained otherwise than protonet"
        in program("evaluate", *run, "--method=rfs").complaint
    )
    assert "flag --method=mamba" in program("evaluate", *run, "--method=mamba").complaint
    assert "which run? give its folder with --workdir" in program("evaluate").complaint
    assert "holds no run" in program("evaluate", *places(images), f"--workdir={tmp_path}").complaint
    assert "3-way episodes need 3 classes" in program("evaluate", *run, "--ways=3").complaint


def test_help_names_the_program_and_every_setting(tmp_path: Path) -> None:
    said = process("maml", "--help", cwd=tmp_path)
    assert (
        said.code == 0
        and said.out.startswith("MAML and the other methods with an inner loop")
        and not said.err
    )
    assert all(f"--{f.name}" in said.out or f"--[no]{f.name}" in said.out for f in fields(Config))


def test_programs_start_over_once_with_huge_pages(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nprint(os.getpid(), os.environ.get('GLIBC_TUNABLES', 'unset'), file=sys.stderr)\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).resolve().parent.parent}"}
    said = process("maml", "--steps=no", cwd=tmp_path, **path)
    (pid, first), (same, second), *_ = (line.split(maxsplit=1) for line in said.err.splitlines())
    assert (
        said.code == 2 and pid == same and (first, second) == ("unset", "glibc.malloc.hugetlb=1")
    ), said
    kept = process(
        "maml", "--steps=no", cwd=tmp_path, GLIBC_TUNABLES="glibc.malloc.check=0", **path
    )
    assert kept.err.count("glibc.malloc.check=0") == 1 and "hugetlb" not in kept.err
    once = process("maml", "--steps=no", cwd=tmp_path, METALEARN_STARTED="yes", **path)
    assert once.err.count("unset") == 1 and "hugetlb" not in once.err


def test_compare_pairs_two_runs_episode_by_episode(
    images: Path, trained: Path, maml: Path, tmp_path: Path
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    shutil.copytree(trained, a)
    shutil.copytree(maml, b)
    said = program("compare", str(a), str(b), *places(images))
    assert said.code == 0, said
    title, *lines = said.out.splitlines()
    assert title.startswith("folder 2-way 1-shot, 6 test episodes ") and len(lines) == 2
    for norm, line in zip(("batch", "support"), lines, strict=True):
        difference = (scores(a, "running") - scores(b, norm)) / 6
        half = 1.96 * difference.std(ddof=1) / 6**0.5
        assert f"difference {100 * difference.mean():+.2f} ± {100 * half:.2f} points" in line
        assert line.startswith("protonet conv2-8 (running) ") and f"maml conv2-8 ({norm}) " in line
    same = program("compare", str(a), str(a), *places(images))
    assert "difference +0.00 ± 0.00 points" in same.out and same.out.endswith("p = 1\n")
    assert program("compare", str(a), str(b), "--shots=2", *places(images)).code == 0
    command = results(a)["result-2w2s3q-running.json"]["command"]
    assert command.endswith(
        " && python -m experiments.evaluate --shots=2 --workdir=runs/folder-protonet-conv2-8-2w1s3q-running-seed0"
    )


def scores(workdir: Path, norm: str) -> np.ndarray:
    """Right queries of each episode, which must agree with the record beside them."""
    counts = np.load(workdir / f"result-2w1s3q-{norm}.npy").astype(float)
    record = told(workdir / f"result-2w1s3q-{norm}.json")
    assert counts.mean() / 6 == pytest.approx(record["accuracy"], abs=1e-6)
    return counts


def test_compare_refuses_what_cannot_be_compared(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert (
        program("protonet", *words(images, workdir=other, seed=2)).code == 0
    )  # the folder is split by the seed
    assert (
        "tested on different images"
        in program("compare", str(trained), str(other), *places(images)).complaint
    )
    assert program("compare", str(trained), *places(images)).complaint.startswith(
        "RUN_B is missing"
    )
    assert "unexpected argument 'c'" in program("compare", "a", "b", "c", *places(images)).complaint
    assert (
        "--lr belongs to training"
        in program("compare", str(trained), str(other), "--lr=1").complaint
    )
    with pytest.raises(UserError, match="runs/x holds a classifier of fixed classes"):
        check_few_shot("runs/x", Config(method="probe"))
    refused = program("compare", str(trained), str(other), "--transform=l2", *places(images))
    assert "--transform is of simpleshot, not of protonet; leave it out" in refused.complaint
