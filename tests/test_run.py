"""The folder of a run: what may happen to it, and what is never lost."""

import errno
import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from metalearn.errors import UserError
from metalearn.records import pictures
from metalearn.records.report import make_rows
from metalearn.records.store import read_record
from metalearn.records.workdir import check_images, forget_untrained
from metalearn.training import metric_log as metrics
from tests.programs import contents, make_images, process, program, results, rows, told, words


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("folder") / "images")


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "run"
    assert program("protonet", *words(images, workdir=workdir)).code == 0
    return workdir


@pytest.fixture
def workdir(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def run(images: Path, workdir: Path) -> list[str]:
    """The words of that run's command; the last three are places."""
    return words(images, workdir=workdir)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_damaged_last_checkpoint_is_trained_again(
    run: list[str], workdir: Path, finished: Path
) -> None:
    for path in (workdir / "checkpoints" / "latest" / "4").rglob("manifest.ocdbt"):
        path.unlink()
    said = program("protonet", *run)
    assert said.code == 0 and "resumed from step 2;" in said.out and "Traceback" not in said.err
    assert said.err.startswith(f"warning: {workdir}/checkpoints/latest/4 cannot be read (")
    assert "; continuing from step 2; its files are now in " in said.err
    assert rows(workdir) == rows(finished) and results(workdir) == results(finished)


def test_damaged_checkpoints_are_a_one_line_error(
    images: Path, workdir: Path, tmp_path: Path
) -> None:
    for path in (workdir / "checkpoints" / "latest").rglob("*"):
        if path.is_file():
            path.write_bytes(b"garbage")
    said = process("protonet", *words(images, workdir=workdir), cwd=tmp_path)
    assert "to train from the start, delete" in said.complaint


def test_a_checkpoint_of_another_model_is_refused(images: Path, workdir: Path) -> None:
    edit(workdir / "config.json", backbone="conv4-32")
    said = program("protonet", *words(images, workdir=workdir, backbone="conv4-32"))
    assert "latest/4 is a checkpoint of another model or optimiser" in said.complaint
    assert (workdir / "checkpoints" / "latest" / "4").is_dir()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b'{"nonsense": 1}', b"\xff\xfe\x00", b'{"ways": "two"}']
)
def test_a_broken_configuration_is_refused(text: bytes, run: list[str], workdir: Path) -> None:
    (workdir / "config.json").write_bytes(text)
    before = contents(workdir)
    assert "choose another --workdir" in program("protonet", *run).complaint
    assert "choose another --workdir" in program("evaluate", *run[-3:]).complaint
    assert contents(workdir) == before


def test_a_run_that_has_a_setting_by_its_older_name_is_read(run: list[str], workdir: Path) -> None:
    path = workdir / "config.json"
    found = json.loads(path.read_text())
    found["pull_always"] = found.pop("proximal_every_step")
    path.write_text(json.dumps(found))
    said = program("protonet", *run)
    assert said.code == 0 and "trained to step 4 already" in said.out


def test_checkpoints_without_a_configuration_are_left_alone(run: list[str], workdir: Path) -> None:
    (workdir / "config.json").unlink()
    assert (
        "holds checkpoints of an unknown run (no config.json)"
        in program("protonet", *run).complaint
    )


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("json", b""),
        ("json", b"[]"),
        ("json", b"\xff\x00"),
        ("json", b'{"accuracy": 1}'),
        ("npy", b"junk"),
    ],
)
def test_a_broken_record_is_made_again(
    end: str, text: bytes, run: list[str], workdir: Path, finished: Path
) -> None:
    (workdir / f"result-2w1s3q-running.{end}").write_bytes(text)
    assert program("protonet", *run).code == 0
    assert results(workdir) == results(finished)
    counts = (path / "result-2w1s3q-running.npy" for path in (workdir, finished))
    assert next(counts).read_bytes() == next(counts).read_bytes()


def test_a_run_on_other_images_is_refused(
    images: Path, run: list[str], workdir: Path, tmp_path: Path
) -> None:
    others = Path(shutil.copytree(images, tmp_path / "others"))
    shutil.copy(others / "class00" / "0.png", others / "class00" / "1.png")
    before, here = contents(workdir), [f"--data_dir={others}", f"--cache_dir={tmp_path / 'cache'}"]
    for name, given in (("protonet", run), ("evaluate", [f"--workdir={workdir}"])):
        said = program(name, *given, *here)
        assert (
            f"{workdir} holds a run on other images: see --data_dir, or" in said.complaint
            and said.out == ""
        )
    assert contents(workdir) == before


def test_error_for_other_images_names_the_decoders(workdir: Path) -> None:
    edit(workdir / "config.json", images="0" * 16, decoder="pillow 11")
    with pytest.raises(
        UserError, match="on other images .read by pillow 11, here by pillow 12.: see --data_dir"
    ):
        check_images(workdir, "1" * 16, "pillow 12")


def test_records_of_other_images_share_no_file_and_seeds_of_the_same_share_a_table(
    images: Path, tmp_path: Path
) -> None:
    others = make_images(tmp_path / "others", images=7)
    results = tmp_path / "results"
    for folder, seed in ((images, 0), (images, 1), (others, 0)):
        places = {"workdir": tmp_path / f"{folder.name}{seed}", "results_dir": results}
        assert program("protonet", *words(folder, seed=seed, **places), "--record").code == 0
    tables = sorted(len(list(folder.glob("*.json"))) for folder in results.iterdir())
    assert tables == [1, 2]
    rows = [
        make_rows([read_record(path) for path in folder.glob("*.json")])
        for folder in results.iterdir()
    ]
    assert [len(found) for found in rows] == [1, 1]


def test_run_continues_where_the_body_that_it_began_from_was_moved(
    images: Path, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    assert program("protonet", *words(images, workdir=body)).code == 0
    run = partial(words, images, workdir=tmp_path / "run")
    assert program("protonet", *run(init_from=body)).code == 0
    moved = Path(shutil.move(body, tmp_path / "moved"))
    assert program("protonet", *run(init_from=moved)).code == 0
    assert program("protonet", *words(images, workdir=tmp_path / "other", lr=0.5)).code == 0
    said = program("protonet", *run(init_from=tmp_path / "other"))
    assert "holds another run (init_from is " in said.complaint


def test_signal_while_a_checkpoint_is_read_damages_nothing(
    run: list[str], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(manager: object, *args: object, **kwargs: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = contents(workdir)
    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "restore", restore)
        said = program("protonet", *run)
    assert said.code == 128 + signal.SIGTERM and "stopped; what was saved is kept" in said.err
    assert contents(workdir) == before


def test_a_command_that_was_refused_leaves_its_folder_to_others(
    images: Path, finished: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    wrong = program(
        "protonet", *words(images, workdir=workdir, init_from=finished, backbone="conv4-8")
    )
    assert wrong.code == 2 and not (workdir / "config.json").exists()
    assert (
        program("protonet", *words(images, workdir=workdir, init_from=finished, steps=2)).code == 0
    )


def test_folder_of_a_run_that_saved_anything_is_kept(workdir: Path) -> None:
    shutil.rmtree(workdir / "checkpoints" / "latest")
    before = contents(workdir)
    forget_untrained(workdir)
    assert contents(workdir) == before


def test_a_record_stays_beside_that_of_another_command(run: list[str], tmp_path: Path) -> None:
    recorded = [*run, "--record", f"--results_dir={tmp_path / 'results'}"]
    for more in ([], ["--episodes=5"], ["--episodes=4"], ["--episodes=5"]):
        assert program("protonet", *recorded, *more).code == 0
    found = sorted((tmp_path / "results").glob("folder-*/*.json"))
    assert [path.name for path in found] == [
        f"protonet-conv2-8-2w1s3q-running-seed0{n}.json" for n in ("-2", "-3", "")
    ]
    assert [told(path)["episodes"] for path in found] == [5, 4, 6]
    assert all(path.with_suffix(".npy").exists() for path in found)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_written_is_a_one_line_error(
    number: int, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        said = program("protonet", *words(images, workdir=tmp_path / "run"))
    assert (
        f"cannot write {tmp_path / 'run' / 'config.json'}: {os.strerror(number)}; make room or"
        in said.complaint
    )


def test_full_disk_in_training_is_a_one_line_error(
    images: Path, finished: Path, tmp_path: Path
) -> None:
    append, written = metrics.MetricLog._append, []

    def refuse(self: metrics.MetricLog, row: dict) -> None:
        written.append(row)
        if len(written) < 3:
            return append(self, row)
        raise metrics._refused(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    run = words(images, workdir=tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics.MetricLog, "_append", refuse)
        said = program("protonet", *run)
    assert (
        "metrics.jsonl: No space left on device; checkpoints are kept: make room and run"
        in said.complaint
    )
    again = program("protonet", *run)
    assert again.code == 0 and "resumed from step 2;" in again.out
    assert rows(tmp_path / "run") == rows(finished) and results(tmp_path / "run") == results(
        finished
    )


def test_failed_picture_costs_no_result(images: Path, tmp_path: Path, finished: Path) -> None:
    def fail(*_: object) -> None:
        raise ImportError("No module named 'matplotlib'")

    run = words(images, workdir=tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "new_figure", fail)
        said = program("protonet", *run)
    assert said.code == 0 and "(95 % CI, 6 test episodes " in said.out
    assert said.err.count("could not be drawn (No module named 'matplotlib')") == 2
    assert results(tmp_path / "run") == results(finished) and not list(
        (tmp_path / "run").glob("*.png")
    )
    assert program("protonet", *run).code == 0  # draws what is missing, tests nothing
    assert sorted(p.name for p in (tmp_path / "run").glob("*.png")) == [
        "curve.png",
        "episode-2w1s3q-running.png",
    ]


def test_a_run_that_is_not_finished_is_not_tested(run: list[str], workdir: Path) -> None:
    shutil.rmtree(workdir / "checkpoints" / "latest" / "4")
    said = program(
        "evaluate",
        *[word for word in run if word.split("=")[0] in ("--data_dir", "--cache_dir", "--workdir")],
    )
    assert (
        "is trained to step 2 of 4: run its training command again to finish it" in said.complaint
    )


def test_seconds_and_memory_of_training_add_up(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 2, "seconds": 1.5, "peak_memory_mb": 30.0},
        {"step": 3, "first": 2, "sums": {"loss": 1.0}, "seconds": 4.0},
        {"step": 4, "seconds": 8.0, "peak_memory_mb": 20.0},
        {"step": 4, "valid_accuracy": 0.5},
        {"step": 5, "first": 4, "sums": {"loss": 1.0}, "seconds": 0.25},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 6, "sec')
    assert metrics.seconds_until(path, 6) == 9.75 and metrics.seconds_until(path, 3) == 1.5
    assert metrics.peak_memory_until(path, 6) == 30.0 and metrics.peak_memory_until(path, 1) == 0.0
    log = metrics.MetricLog(tmp_path, 4)
    assert log.part is None
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [lines[0], *lines[2:4]]


def test_metric_log_skips_damaged_lines_alone(tmp_path: Path) -> None:
    path, whole = tmp_path / "metrics.jsonl", {"step": 2, "loss": 1.0}
    damaged = [
        "\0\0",
        '{"step": "x"}',
        '{"step": 1, "seconds": null}',
        '{"step": 2, "sums": 5}',
        "[]",
    ]
    path.write_text("".join(f"{line}\n" for line in (*damaged, json.dumps(whole))))
    assert metrics.read_rows(path) == [whole] and metrics.seconds_until(path, 2) == 0
    metrics.MetricLog(tmp_path, 2).close()
    assert path.read_text() == json.dumps(whole) + "\n"


def test_metric_log_returns_the_part_at_its_end(tmp_path: Path) -> None:
    log = metrics.MetricLog(tmp_path, 0)
    log.write(2, loss=1.0)
    log.write_part(3, 2, {"loss": 0.1}, 0.5)
    log.close()
    parts = []
    for step in (3, 2):
        log = metrics.MetricLog(tmp_path, step)
        parts.append(log.part)
        log.close()
    assert parts == [{"step": 3, "first": 2, "sums": {"loss": 0.1}, "seconds": 0.5}, None]
    pytest.importorskip("tensorboardX")
    assert len(list((tmp_path / "tensorboard").iterdir())) >= 1
