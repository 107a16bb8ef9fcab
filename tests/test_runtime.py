"""The machine: what is set up before JAX starts, and what is read off it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from metalearn import runtime
from metalearn.errors import UserError
from metalearn.training.progress import progress_bar
from tests.programs import ROOT, environment


def in_a_process(code: str, cwd: str = str(ROOT), **variables: str) -> str:
    env = {k: v for k, v in environment(**variables).items() if k != "XLA_FLAGS" or k in variables}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


COUNT = "import jax; from metalearn.runtime import configure; configure({}, 'float32'); print(jax.device_count())"


def test_configure_makes_a_device_per_core_that_shares_out_the_tasks() -> None:
    cores = len(os.sched_getaffinity(0))
    assert in_a_process(COUNT.format(1)) == "1"
    assert in_a_process(COUNT.format(4 * cores)) == str(cores)
    assert (
        in_a_process(COUNT.format(2), XLA_FLAGS="--xla_force_host_platform_device_count=3") == "3"
    )


def test_configure_compiles_for_the_widest_vectors_unless_the_user_chose() -> None:
    code = "import os; from metalearn.runtime import configure; configure(1, 'float32'); "
    code += "print([f for f in os.environ['XLA_FLAGS'].split() if 'vector_width' in f])"
    assert in_a_process(code) == "['--xla_cpu_prefer_vector_width=512']"
    chosen = "--xla_cpu_prefer_vector_width=256"
    assert in_a_process(code, XLA_FLAGS=chosen) == f"['{chosen}']"


def test_configure_sets_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    before = jax.config.jax_default_matmul_precision
    try:
        runtime.configure(1, "tf32")
        assert jax.config.jax_default_matmul_precision == "tensorfloat32"
        runtime.configure(1, "float32")
        assert jax.config.jax_default_matmul_precision == "float32"
        with pytest.raises(
            UserError, match="unknown precision 'half': choose float32, tf32 or bfloat16"
        ):
            runtime.configure(1, "half")
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def test_quick_programs_compute_the_same_from_less_compilation() -> None:
    """In a process of its own: here everything is compiled quickly."""
    code = """
import time, jax, jax.numpy as jnp
from metalearn.runtime import quick_jit
def function(x):
    for _ in range(20):
        x = jnp.tanh(x @ x.T)[:, :8] + jnp.sort(x, 0)
    return x
x = jax.random.normal(jax.random.key(0), (64, 8))
def compiled(jit):
    lowered = jit(function).lower(x)
    begin = time.process_time()
    return lowered.compile()(x), time.process_time() - begin
(quick, soon), (slow, late) = compiled(quick_jit), compiled(jax.jit)
print(jnp.abs(quick - slow).max() < 1e-3, soon < late)
"""
    off = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    assert in_a_process(code, **off).split() == ["True", "True"]


def test_quick_programs_leave_out_options_that_xla_does_not_have() -> None:
    assert runtime._is_option("xla_backend_optimization_level", 0)
    assert not runtime._is_option("xla_of_another_version", 0)


def test_device_name_describes_the_machine() -> None:
    assert runtime.device_name()[0].isdigit() and runtime.peak_memory_mb() > 10


def test_the_commit_is_that_of_the_checkout_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.delenv("METALEARN_COMMIT", raising=False)
    known = runtime.commit.__wrapped__()
    assert known == "unknown" or len(known.rstrip("+")) == 12
    monkeypatch.setenv("METALEARN_COMMIT", "0123456789ab")
    assert runtime.commit.__wrapped__() == (known if known != "unknown" else "0123456789ab")
    monkeypatch.setattr(subprocess, "run", no_git)
    assert runtime.commit.__wrapped__() == "0123456789ab"
    monkeypatch.delenv("METALEARN_COMMIT")
    assert runtime.commit.__wrapped__() == "unknown"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_copy_within_another_repository_has_not_its_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    shutil.copytree(ROOT / "metalearn", tmp_path / "copy" / "metalearn")
    identity = ["-c", "user.name=name", "-c", "user.email=name@example.com"]
    git = ["git", "-C", str(tmp_path), *identity]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    code = "from metalearn.runtime import commit; print(commit())"
    copy = str(tmp_path / "copy")
    told = in_a_process(code, cwd=copy, PYTHONPATH=copy, METALEARN_COMMIT="0123456789ab")
    assert told == "0123456789ab"


def test_interrupt_keeps_the_first_signal_and_restores_handlers() -> None:
    old = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with runtime.Interrupt() as interrupt:
        assert interrupt.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a second one ends at once
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == old


def test_only_errors_of_closed_loops_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda happened: shown.append(str(happened.exc_value))
    )
    runtime.hide_closed_loop_errors()
    for message in ("Event loop is closed", "something else"):
        sys.unraisablehook(type("Args", (), {"exc_value": RuntimeError(message)})())
    assert shown == ["something else"]


def test_progress_bar_does_not_flood_a_log_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with progress_bar(10_000, 0) as bar:
        for _ in range(10_000):
            bar.update(1)
    assert capsys.readouterr().err.count("\r") <= 4 and bar.mininterval == 30
