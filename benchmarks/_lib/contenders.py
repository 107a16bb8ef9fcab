"""The parent's end of the pipe: contenders are started and asked; a missing one is named."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks._lib.work import Arrays, Work
from metalearn.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = "metalearn"
PEERS: dict[str, dict[str, tuple[str, ...]]] = {  # by method: name, module and arguments
    "maml": {
        "torch-loop": ("torch_loop",),
        "torch-func": ("torch_func",),
        "learn2learn": ("learn2learn_maml",),
        "higher": ("higher_maml",),
        "jax-meta": ("jax_meta_maml",),
    },
    "protonet": {
        "torch": ("torch_protonet", "nchw"),
        "torch-channels-last": ("torch_protonet", "channels_last"),
        "torch-compile": ("torch_protonet", "compile"),
    },
    "backbone": {
        "onnxruntime": ("lite0_onnx",),
        "torch-folded": ("lite0_torch",),
    },
    "personalise": {
        "onnxruntime": ("photos_onnx",),
        "torch-folded": ("photos_torch",),
    },
    "active": {
        "numpy": ("active_numpy",),
        "numpy-products": ("active_numpy", "products"),
        "scikit-activeml": ("active_skactiveml",),
        "apricot": ("active_apricot",),
    },
    "evaluation": {
        "torch": ("torch_evaluation", "once"),
        "torch-each-episode": ("torch_evaluation", "each"),
    },
}


def python_path() -> str:
    """PYTHONPATH of contenders: this checkout, then what the caller has there."""
    # Packages that were copied to a machine without network
    carried = os.environ.get("PYTHONPATH")
    return f"{ROOT}{os.pathsep}{carried}" if carried else str(ROOT)


class Failed(Exception):
    """A contender that cannot do what was asked of it, and why."""


class Process:
    """A contender's process, kept until it is closed; a context."""

    def __init__(self, command: list[str]) -> None:
        """Start it and wait until it is ready.

        Raises:
          Failed: it is not.
        """
        self.errors = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        env = {**os.environ, "PYTHONPATH": python_path(), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        try:
            self.process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=self.errors,
                text=True,
                bufsize=1,
                cwd=ROOT,
                env=env,
            )
        except OSError as error:
            self.errors.close()
            raise Failed(f"cannot start {command[0]}: {error.strerror}") from error
        try:
            self.about = self._answer()
        except Failed:
            self.close()
            raise

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        """Its answer to a request.

        Raises:
          Failed: it has none.
        """
        assert self.process.stdin is not None
        try:
            print(json.dumps({"what": what} | request), file=self.process.stdin, flush=True)
        except OSError:
            pass  # it has ended: there is no answer
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"ended with status {self.process.wait()}: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return lines[-1][:200] if lines else "no message"

    def close(self) -> None:
        """End it: its input is closed, and it has ten seconds to end."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None
    ) -> None:
        self.close()


class Team:
    """Ours and its peers for one kind of method: how to start them, or why one cannot be."""

    def __init__(self, method: str, python: str, wanted: list[str] | None = None) -> None:
        """Find how to start each.

        python is the peers' interpreter; wanted are peers by name, of any method, or None for all.

        Raises:
          UserError: there is no such peer.
        """
        known = {name for peers in PEERS.values() for name in peers}
        if unknown := [name for name in wanted or [] if name not in known]:
            raise UserError(f"unknown peer '{unknown[0]}': choose of {', '.join(sorted(known))}")
        names = (
            PEERS[method]
            if wanted is None
            else {k: v for k, v in PEERS[method].items() if k in wanted}
        )
        self.commands = {OURS: [sys.executable, "-m", "benchmarks.ours"]}
        self.commands |= {k: [python, "-m", f"benchmarks.peers.{v[0]}"] for k, v in names.items()}
        self.arguments: dict[str, tuple[str, ...]] = {OURS: ()} | {
            k: v[1:] for k, v in names.items()
        }
        self.notes = _not_installed(Path(python).parent.parent / "not-installed.txt")

    def start(self, name: str, work: Work) -> Process:
        """The process of a contender.

        Raises:
          Failed: it does not start.
        """
        words = [*self.commands[name], json.dumps(work._asdict()), *self.arguments[name]]
        try:
            return Process(words)
        except Failed as failed:
            note = self.notes.get(name)
            raise Failed(f"{failed}; not installed: {note}" if note else str(failed)) from failed

    def gradient(self, name: str, work: Work, given: Arrays) -> Arrays:
        """Loss and meta-gradient of a contender in float64.

        Raises:
          Failed: it finds none.
        """
        with (
            tempfile.TemporaryDirectory() as folder,
            self.start(name, work._replace(precision="float64")) as process,
        ):
            here = Path(folder) / "given.npz"
            there = Path(folder) / "found.npz"
            np.savez(here, **given)  # type: ignore[arg-type]
            process.ask("gradient", given=str(here), found=str(there))
            with np.load(there) as found:
                return dict(found)


def _not_installed(path: Path) -> dict[str, str]:
    """What the peers' setup.sh noted."""
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def peers_python() -> str:
    """METALEARN_PEERS, an interpreter or an environment with one, else that of .venv-peers."""
    named = os.environ.get("METALEARN_PEERS") or ROOT / ".venv-peers"
    path = Path(named).absolute()
    return str(path if path.is_file() else path / "bin" / "python")
