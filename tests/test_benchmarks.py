"""Benchmarks: what is counted, who is timed, that all compute the same, records and the page made
of them.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import active, convolution, ours
from benchmarks._lib import personal, photos, pool
from benchmarks._lib.alone import alone
from benchmarks._lib.chosen import Judge, missed
from benchmarks._lib.contenders import OURS, PEERS, Failed, Process, Team, peers_python
from benchmarks._lib.measure import Found, Turns, agreement, compare, disagreeing, times
from benchmarks._lib.page import pages
from benchmarks._lib.records import add_row, path_of, read_rows, recorded
from benchmarks._lib.roofline import Need, Peaks, line, need, network, roofline
from benchmarks._lib.work import Work, difference, example, features, images, tiny
from benchmarks.plan import Compiled, Source, plan, share
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.models import make_network
from metalearn.models.sources import is_installed
from metalearn.models.zoo import BODIES
from metalearn.personal.embedding import BODY
from metalearn.records.report import read_records
from metalearn.training.step import TrainState
from tests.personal.made import tiny_embedder, tiny_maker
from tests.programs import ROOT, environment
from tests.small import quick_jit

SMALL = tiny(Work())._replace(inner_steps=2, tasks=2)
ROW = {
    "benchmark": "meta_step",
    "method": "maml",
    "ways": 5,
    "shots": 1,
    "tasks": 4,
    "inner_steps": 5,
    "precision": "float32",
    "case": "",
    "device": "2x Some CPU @ 3.0GHz",
    "commit": "0123456789ab",
    "command": "python -m benchmarks.meta_step",
    "ours_ms": 200.0,
    "peers": {"torch-loop": 340.5, "higher": 360.0},
    "ratio_to_fastest_peer": 1.7,
    "range_ms": {},
    "missing": {"jax-meta": "No module named 'haiku'"},
    "rounds": 5,
    "differences": {"torch-loop": 2e-15, "higher": 3e-15, "jax-meta": "No module named 'haiku'"},
    "roofline": roofline(Need(12.9e9, 2e9), Peaks(430e9, 28e9), 200.0),
}


def test_need_of_the_usual_meta_steps_is_that_by_hand() -> None:
    # Multiply-adds of the four layers by hand: 27, 288, 288, 288 a filter and place, 32 filters,
    # 32^2 ... 4^2 places.
    layers = [32 * 27 * 32**2, 32 * 288 * 16**2, 32 * 288 * 8**2, 32 * 288 * 4**2]
    inner, outer = 2 * (9 * sum(layers) - 5 * layers[0]), 2 * (3 * sum(layers) - layers[0])
    heads = 2 * 128 * 5
    for shots, about in ((1, 12.9e9), (5, 38.0e9)):
        by_hand = 4 * (5 * 5 * shots * (inner + 9 * heads) + 75 * (outer + 3 * heads))
        assert need(Work(shots=shots)).flops == by_hand == pytest.approx(about, rel=0.01)


def test_need_is_what_xla_counts() -> None:
    work = Work(method="protonet", width=64, tasks=1, shots=5)
    # With moments, the first layer makes more products than it needs
    body = make_network("conv4-64", "none")
    params = jax.eval_shape(body.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    x = jax.ShapeDtypeStruct((100, 32, 32, 3), jnp.float32)
    passes = {1: body.apply, 3: jax.grad(lambda p, x: jnp.square(body.apply(p, x)).sum())}
    for count, run in passes.items():
        counted = jax.jit(run).lower(params, x).cost_analysis()["flops"]
        assert counted == pytest.approx(network(work, 100, count, min(count, 2)).flops, rel=0.1)


def test_roofline_says_what_share_of_the_peaks_was_reached() -> None:
    found = roofline(Need(10e9, 1e9), Peaks(100e9, 5e9), 400)
    assert found["gflops_per_s"] == 25 and found["gbytes_per_s"] == 2.5
    assert found["bound_ms"] == 200  # bytes take longer than arithmetic
    assert "25% of 100 measured" in line(found) and "50% of 5" in line(found)


def test_difference_of_gradients_is_relative_and_over_all_tensors() -> None:
    b = {"loss": np.float64(3), "w": np.array([0.0, 4.0])}
    assert difference(b, b) == 0
    assert difference({"loss": np.float64(3), "w": np.array([0.5, 4.0])}, b) == pytest.approx(0.1)
    with pytest.raises(KeyError):
        difference({"loss": np.float64(3)}, b)
    assert disagreeing({"a": 1e-10, "b": 1e-8, "c": float("nan"), "d": "not there"}) == ["b", "c"]


def test_our_meta_gradient_is_the_slope_of_our_loss() -> None:
    work = SMALL._replace(tasks=1, inner_steps=1)
    with jax.enable_x64(True):
        given = example(work)
        found = ours.gradient(work, given)
        assert set(found) == {"loss"} | {name for name in given if "/" in name}
        rng = np.random.default_rng(0)
        way = {name: rng.normal(size=v.shape) for name, v in given.items() if "/" in name}

        def loss(step: float) -> float:
            return float(
                ours.gradient(work, given | {k: given[k] + step * v for k, v in way.items()})[
                    "loss"
                ]
            )

        slope = sum((np.asarray(found[name]) * v).sum() for name, v in way.items())
        assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-5)


@pytest.fixture(scope="module")
def torch_python() -> str:
    """An interpreter with PyTorch: the peers', else this one."""
    for python in (peers_python(), sys.executable):
        if (
            Path(python).exists()
            and not subprocess.run([python, "-c", "import torch"], capture_output=True).returncode
        ):
            return python
    pytest.skip("no PyTorch to compare with: benchmarks/peers/setup.sh installs it")


@pytest.mark.parametrize(
    ("method", "peer"),
    [
        ("maml", "torch-loop"),
        ("maml", "torch-func"),
        ("protonet", "torch"),
        ("evaluation", "torch"),
    ],
)
def test_our_meta_gradient_agrees_with_an_independent_implementation(
    torch_python: str, method: str, peer: str
) -> None:
    work = SMALL._replace(
        method=method, shots=2, tasks=1 if method == "evaluation" else 2, episodes=3
    )
    found = agreement(Team(method, torch_python, [peer]), work)
    assert set(found) == {peer} and found[peer] < 1e-9


def test_all_peers_have_a_file() -> None:
    for peers in PEERS.values():
        for module, *_ in peers.values():
            assert importlib.util.find_spec("benchmarks.peers." + module) is not None


FAKE = """
import sys, time
from benchmarks._lib.worker import Contender, serve
def make(work):
    if {broken}: raise ImportError("No module named 'something'\\nand more")
    print("chatter of a library")
    def steps(count):
        if {dying}: print("Segmentation fault", file=sys.stderr); sys.stderr.flush(); import os; os._exit(3)
        time.sleep(0.002 * count)
        return 1.0
    return Contender({{"fake": "1.0"}}, steps, lambda given: {{"loss": given["x"] * 2}}, lambda size: (1e9, 2e9))
serve(make)
"""


def fake(broken: bool = False, dying: bool = False) -> list[str]:
    return [
        sys.executable,
        "-c",
        FAKE.format(broken=broken, dying=dying),
        json.dumps(SMALL._asdict()),
    ]


def test_a_contender_answers_whatever_its_libraries_print(tmp_path: Path) -> None:
    with Process(fake()) as process:
        assert process.about == {"fake": "1.0"}
        answer = process.ask("steps", count=5)
        assert answer["loss"] == 1.0 and answer["seconds"] >= 0.01
        assert process.ask("peaks", size=1) == {"flops": 1e9, "bytes": 2e9}
        assert process.ask("memory")["mib"] > 5
        np.savez(tmp_path / "given.npz", x=np.ones(2))
        process.ask(
            "gradient", given=str(tmp_path / "given.npz"), found=str(tmp_path / "found.npz")
        )
        assert np.load(tmp_path / "found.npz")["loss"].tolist() == [2, 2]
        with pytest.raises(Failed, match="KeyError: 'x'"):
            np.savez(tmp_path / "given.npz", y=np.ones(2))
            process.ask(
                "gradient", given=str(tmp_path / "given.npz"), found=str(tmp_path / "found.npz")
            )
        assert process.ask("steps", count=1)["loss"] == 1.0  # and continues


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (fake(broken=True), "^ImportError: No module named 'something'$"),
        (["/nowhere/python"], "cannot start /nowhere/python: No such file"),
        ([sys.executable, "-c", "print(1/0)"], "ended with status 1: ZeroDivisionError"),
    ],
)
def test_contender_that_does_not_start_says_why(command: list[str], why: str) -> None:
    with pytest.raises(Failed, match=why):
        Process(command)


def test_contenders_take_turns_and_a_missing_one_is_named(tmp_path: Path) -> None:
    team = Team("maml", str(tmp_path / "bin" / "python"), [])
    team.commands = {
        OURS: fake()[:3],
        "dies": fake(dying=True)[:3],
        "absent": [str(tmp_path / "python")],
    }
    team.arguments = dict.fromkeys(team.commands, ())
    team.notes = {"absent": "no network"}
    found = compare(team, SMALL, Turns(rounds=3, steps=4))
    assert set(found.ms) == {OURS} and len(found.ms[OURS]) == 3 and min(found.ms[OURS]) >= 2
    assert found.missing["dies"] == "ended with status 3: Segmentation fault"
    assert found.missing["absent"].endswith("No such file or directory; not installed: no network")
    assert found.peaks == Peaks(1e9, 2e9)


def test_rows_have_medians_and_the_ratio_to_the_best_peer() -> None:
    ms = {OURS: [10.0, 30.0, 11.0], "a": [20.0, 60.0, 21.0], "b": [50.0, 19.0, 55.0]}
    row = times(Found(ms, {}, {}, None))
    assert row["ours_ms"] == 11 and row["peers"] == {"a": 21, "b": 50}
    assert row["ratio_to_fastest_peer"] == 2  # a's: 2, 2 and 1.9 round by round
    assert row["range_ms"][OURS] == [10, 30]
    alone = times(Found({"a": [3.0]}, {}, {OURS: "out of memory"}, None))
    assert alone["ours_ms"] is None and alone["ratio_to_fastest_peer"] is None


def said_by(*arguments: str) -> str:
    """What a program prints."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_streaming_benchmark_ends_with_the_devices_numbers(tmp_path: Path) -> None:
    arguments = ("--tiny", "--rounds=1", "--steps=2", "--tasks=2", f"--results_dir={tmp_path}")
    assert said_by("benchmarks.streaming", *arguments).count("from the host") == 2
    rows = read_rows(next(tmp_path.glob("streaming-*.json")))
    assert [row["method"] for row in rows] == ["protonet", "maml"] and all(
        row["ours_ms"] > 0 for row in rows
    )


def test_backbone_benchmark_embeds_and_trains(tmp_path: Path) -> None:
    arguments = ("--tiny", "--rounds=1", "--steps=1", "--parts=embed,last,behind")
    said = said_by("benchmarks.backbone", *arguments, "--peers=higher", f"--results_dir={tmp_path}")
    assert "embedding, 1 image of 16 px, CPU time on one core tiny:" in said
    rows = read_rows(next(tmp_path.glob("backbone-*.json")))
    assert len(rows) == 3 and all(row["ours_ms"] > 0 and row["peers"] == {} for row in rows)
    assert [list(row.get("peak_mib", {})) for row in rows] == [[], [OURS], [OURS]]
    (text, _) = pages(tmp_path, "performance")
    assert (
        "| metalearn (MiB) |" in text
        and "| training step, last block from its cached input, 4 images" in text
    )


def test_active_benchmark_times_rounds_and_names_who_is_missing(tmp_path: Path) -> None:
    arguments = ("--tiny", "--rounds=1", "--steps=1", "--strategies=margin", "--sizes=200,400")
    said = said_by("benchmarks.active", *arguments, "--peers=higher", f"--results_dir={tmp_path}")
    assert said.count("margin, 24 of 192 images, 24 labelled tiny:") == 2
    assert "passed over" in said
    (row,) = read_rows(next(tmp_path.glob("active-*.json")))
    assert row["ours_ms"] > 0 and row["peers"] == {} and list(row["peak_mib"]) == [OURS]
    assert row["also"]["compiling (s)"] > 0 and 0 < row["loss"][OURS] < 0.2
    (text, _) = pages(tmp_path, "performance")
    assert "| margin, 24 of 192 images, 24 labelled tiny |" in text
    assert "| metalearn (MiB) |" in text and "| compiling (s) |" in text


def test_contender_that_takes_too_long_or_is_expected_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team("maml", str(tmp_path / "bin" / "python"), [])
    team.commands = {OURS: fake()[:3]}
    team.arguments = {OURS: ()}
    with pytest.raises(Failed, match="^over 0.001 s$"):
        alone(team, OURS, SMALL, Turns(rounds=1, steps=1), 0.001)
    work = Work(method="active", part="k_centre", classes=100, per_class=500)
    monkeypatch.setattr(active, "FLAGS", SimpleNamespace(limit=120.0))
    assert active.expected("numpy", work, {}) is None
    assert active.expected("numpy", work, {"numpy": (5000, 11e3)}) is None
    why = "not begun; 5,000 images take 13 s, so over 120 s"
    assert active.expected("numpy", work, {"numpy": (5000, 13e3)}) == why
    all_pairs = work._replace(part="prob_cover")
    assert active.expected("numpy", all_pairs, {"numpy": (5000, 1.3e3)}) is not None
    failed = active.expected("numpy", work, {"numpy": (5000, "over 120 s")})
    assert failed == "not begun; 5,000 images: over 120 s"


def test_choices_are_judged_by_what_a_strategy_makes_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(method="active", part="margin", classes=6, per_class=50, shots=1, width=8)
    folder = tmp_path / "pool"
    pool.draw(folder, work)
    monkeypatch.setenv("BENCHMARK_POOL", str(folder))
    drawn = pool.read()
    assert drawn.z.shape == (300, 8) and drawn.z.ctypes.data % 64 == 0
    np.testing.assert_array_equal(drawn.z, np.load(folder / "z.npy"))
    np.testing.assert_allclose(np.linalg.norm(drawn.z, axis=1), 1, rtol=1e-5)
    judge = Judge(folder)
    two = np.sort(drawn.p, axis=1)[:, -2:]
    order = np.argsort(two[:, 1] - two[:, 0])
    assert judge.loss("margin", order[:5]) < judge.loss("margin", order[-5:])
    known = np.concatenate([drawn.labelled, order[:9]])
    apart = np.linalg.norm(drawn.z[:, None] - drawn.z[known], axis=-1).min(1)
    assert judge.loss("k_centre", order[:9]) == pytest.approx(apart.max(), rel=1e-3)
    assert judge.loss("k_means", order[:9]) == pytest.approx(np.square(apart).mean(), rel=1e-3)
    served = np.maximum(drawn.z @ drawn.z[known].T, 0).max(1) ** 2
    assert judge.loss("facility_location", order[:9]) == pytest.approx(1 - served.mean(), rel=1e-3)
    errors = drawn.p - np.eye(6)[drawn.p.argmax(1)]
    built = np.einsum("nc,nd->ncd", errors, drawn.z).reshape(300, -1)
    nearest = np.linalg.norm(built[:, None] - built[order[:9]], axis=-1).min(1)
    assert judge.loss("badge", order[:9]) == pytest.approx(np.square(nearest).mean(), rel=1e-3)
    assert judge.loss("prob_cover", order[:9]) > judge.loss("prob_cover", np.arange(300)) == 0
    assert missed(np.array([1, 2, 3, 4]), np.array([4, 3, 9, 8])) == 0.5


def test_personalise_benchmark_answers_in_a_process_and_from_the_shell(tmp_path: Path) -> None:
    if not is_installed(BODIES[BODY].source):
        pytest.skip(f"the weights of {BODY} are not installed")
    arguments = (
        "--tiny",
        "--rounds=1",
        "--steps=1",
        "--cases=predict,predict_command,many",
    )
    env = {"METALEARN_PEERS": str(tmp_path / "nowhere")}
    command = [sys.executable, "-m", "benchmarks.personalise", *arguments]
    done = subprocess.run(
        [*command, "--peers=onnxruntime", f"--results_dir={tmp_path}"],
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("onnxruntime: not measured: cannot start") == 2
    rows = read_rows(next(tmp_path.glob("personalise-*.json")))
    assert all(row["ours_ms"] > 0 and row["peers"] == {} for row in rows)
    assert [row["wanted_ms"] for row in rows] == [60, 5000, 100]
    assert rows[2]["also"]["fitting (s)"] > 0 and rows[2]["also"]["loading (s)"] > 0
    (text, _) = pages(tmp_path, "performance")
    assert "| fitting (s) | loading (s) | rounds |" in text
    assert "| predict one photo, shell to answer, 3 classes x 3 photos tiny |" in text


def test_phases_of_fitting_to_drawn_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "WIDTH", 64)
    monkeypatch.setattr(photos, "HEIGHT", 48)
    photos.draw(tmp_path / "photos", 2, 3)
    monkeypatch.setenv("BENCHMARK_PHOTOS", str(tmp_path / "photos"))
    assert photos.first_photo(photos.folder_of_photos()).name == "000.jpg"
    monkeypatch.setattr(personal, "maker", lambda: (tiny_maker(), tiny_embedder().embedding.shown))
    found = personal.parts_of(Work(method="personalise", part="phases"))()
    assert found["ms"] == pytest.approx(found["decoding"] + found["embedding"] + found["fitting"])
    added = personal.parts_of(Work(method="personalise", part="add"))()
    assert added["ms"] > 0
    saved = personal.parts_of(Work(method="personalise", part="file"))()
    assert 0.1 < saved["kB"] < saved["kB with body"] < 100


def test_drawn_features_of_a_class_are_alike() -> None:
    work = Work(method="personalise", ways=12, shots=3)
    (classes, drawn) = personal.drawn_photos(work, 100)
    z = drawn.kept.values
    assert len(classes) == 12 and len(set(drawn.digests)) == 36 and z.shape == (36, 100)
    lengths = np.linalg.norm(z, axis=1)
    cosines = z @ z.T / np.outer(lengths, lengths)
    same = drawn.labels[:, None] == drawn.labels
    assert cosines[same & ~np.eye(36, dtype=bool)].min() > cosines[~same].mean() + 0.2


def test_plan_compiles_a_step_without_data() -> None:
    shape = ("--backbone=conv4-8", "--side=16", "--ways=2", "--meta_batch=4", "--devices=2")
    given = ("--method=protonet", "--tasks_per_device=2", *shape)
    found = json.loads(said_by("benchmarks.plan", *given))
    assert (
        found["memory_bytes_a_task"] > found["images_a_task"] * 16 * 16 * 3
        and found["tasks_at_once"] == 2
    )


def test_plan_adds_up_memory_of_tasks_and_devices() -> None:
    step = Compiled(
        TrainState(np.int32(0), {"w": np.zeros(10, np.float32)}, {}), one=100, three=180
    )
    config = Config(train_ways=2, train_shots=1, train_queries=3, meta_batch=8)
    found = plan(config, Source(3, 5, 4), step, hosts=2, devices=4, at_once=2)
    assert (found["memory_bytes_besides"], found["memory_bytes_a_task"], found["state_bytes"]) == (
        60,
        40,
        44,
    )
    assert found["device_bytes"] == 60 + 2 * 40 + 44 + 3 * 5 * 48
    assert found["host_bytes_a_step_streamed"] == 4 * 8 * 48  # half of the tasks
    assert found["all_reduce_bytes_a_step"] == 60  # three quarters of the gradient, twice
    assert share(8, 2, 3) == 2 and share(8, 2, 0) == 4
    with pytest.raises(UserError, match="--meta_batch=8 cannot be shared out to 3 devices"):
        share(8, 3, 0)


def test_unknown_peers_are_refused() -> None:
    assert list(Team("maml", "python", ["higher", "torch-compile"]).commands) == [OURS, "higher"]
    with pytest.raises(
        UserError, match="unknown peer 'torhc': choose of apricot, higher, jax-meta, "
    ):
        Team("maml", "python", ["torhc"])


def test_benchmark_row_replaces_the_one_of_its_setting(tmp_path: Path) -> None:
    path = path_of(tmp_path, "meta_step", ROW["device"])
    assert path.name == "meta_step-2x-some-cpu-3-0ghz.json"
    assert not recorded(path, ROW)
    add_row(path, ROW)
    add_row(path, ROW | {"shots": 5})
    later = ROW | {"commit": "ba9876543210"}
    assert recorded(path, ROW) and not recorded(path, later)
    add_row(path, later)
    assert [(r["shots"], r["commit"]) for r in read_rows(path)] == [
        (5, ROW["commit"]),
        (1, later["commit"]),
    ]
    path.write_text('{"rows": [{}]}')
    with pytest.raises(UserError, match="no record of a benchmark"):
        read_rows(path)


def test_rows_of_benchmarks_are_no_results(tmp_path: Path) -> None:
    add_row(path_of(tmp_path / "benchmarks", "meta_step", "x"), ROW)
    assert read_records(tmp_path) == []


def test_performance_page_has_the_numbers_of_the_records(tmp_path: Path) -> None:
    add_row(tmp_path / "a.json", ROW)
    lost = {
        "ours_ms": None,
        "ratio_to_fastest_peer": None,
        "tasks": 512,
        "missing": {OURS: "RESOURCE_EXHAUSTED"},
    }
    add_row(tmp_path / "a.json", {k: v for k, v in (ROW | lost).items() if k != "roofline"})
    memory = {k: v for k, v in ROW.items() if k not in ("ours_ms", "roofline", "differences")}
    for steps, mib in ((1, 900.0), (20, 950.0)):
        add_row(
            tmp_path / "b.json",
            memory | {"benchmark": "memory", "inner_steps": steps, "ours_mib": mib},
        )
    text, plots = pages(tmp_path, "performance")
    lines = text.splitlines()
    assert any(
        x.startswith("| 5-way 1-shot, 4 tasks, float32 | 200 | 340 | 360 | 1.7 | 64.5 | 15% |")
        for x in lines
    )
    assert any(
        x.startswith("| 5-way 1-shot, 512 tasks, float32 | – | 340 | 360 | – |") for x in lines
    )
    assert "- metalearn (5-way 1-shot, 512 tasks, float32): RESOURCE_EXHAUSTED" in lines
    assert "- jax-meta (5-way 1-shot, 4 tasks, float32): No module named 'haiku'" in lines
    assert "| 3e-15 |" in text and "J = 20" in text and text.count("nothing recorded yet") == 10
    assert set(plots) == {"meta_step-0.svg", "memory-0.svg"} and all(
        b"<svg" in p for p in plots.values()
    )
    assert pages(tmp_path, "performance") == (text, plots)


def test_performance_page_is_up_to_date() -> None:
    text, plots = pages(ROOT / "results" / "benchmarks", "performance")
    assert (ROOT / "docs" / "performance.md").read_text() == text, (
        "run: python -m benchmarks.report"
    )
    assert {path.name for path in (ROOT / "docs" / "performance").glob("*.svg")} == set(plots)


@pytest.mark.parametrize("order", ["forward", "gradient", "second"])
def test_formulations_of_a_convolution_agree(order: str) -> None:
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (2, 6, 4, 3), jnp.float64)
        w = jax.random.normal(jax.random.key(1), (3, 3, 3, 5), jnp.float64)
        forms = convolution.formulations(0)
        found = {
            name: float(quick_jit(convolution.passes(form, order))(x, w))
            for name, form in forms.items()
        }
    assert found[OURS] > 0 and list(found.values()) == pytest.approx([found[OURS]] * 5, rel=1e-12)


@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize("form", [convolution.native, convolution.one, convolution.windows])
def test_convolution_benchmark_adds_up_the_turns_of_a_scan(form: Callable, looped: bool) -> None:
    x, w = jax.random.normal(jax.random.key(0), (3, 2, 1, 4, 4, 3)), jnp.ones((2, 3, 3, 3, 2))
    each = [
        [float(convolution.passes(form, "forward")(x[i, t], w[t])) for t in range(2)]
        for i in range(3)
    ]
    expected = np.sum(each, 0) if looped else each[0]
    np.testing.assert_allclose(
        convolution.program(form, "forward", looped)(x, w), expected, rtol=1e-5
    )


def test_example_tensors_have_the_shapes_of_the_work() -> None:
    given = example(SMALL)
    assert given["support_x"].shape == (2, 5, 16, 16, 3) and given["query_x"].shape == (
        2,
        15,
        16,
        16,
        3,
    )
    assert given["head/w"].shape == (features(SMALL), 5) and images(SMALL).shape == (
        24,
        8,
        16,
        16,
        3,
    )
    assert all(
        0 < (given[f"body/norm{i}/scale"] < 0).mean() < 0.5 for i in range(4)
    )  # pooling minds the sign
    assert given["query_y"][0].tolist() == sorted(list(range(5)) * 3)
    indices = example(SMALL._replace(method="evaluation", episodes=4))["indices"]
    assert indices.shape == (4, 5, 4) and all(len(set(e.ravel())) == 20 for e in indices)
    assert all((e // 8 == e[:, :1] // 8).all() and len(set(e[:, 0] // 8)) == 5 for e in indices)


SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks").rglob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmark_scripts_are_valid_bash(script: str) -> None:
    assert subprocess.run(["bash", "-n", ROOT / script], capture_output=True).returncode == 0
