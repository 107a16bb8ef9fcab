"""The smoke run of continuous integration, with stand-ins for Python: which it takes, what it
starts.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.programs import ROOT
from tests.test_run_sh import BROKEN, FAKE

TOOLS = ("bash", "dirname", "basename", "mktemp", "mkdir", "cp", "rm", "grep")
PROGRAM = 'if __name__ == "__main__":\n    pass\n'


class Clone:
    """A copy of .ci/smoke, with two programs and a PATH of a few tools and stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.home = folder / "home"
        for made in (self.root / ".ci", self.root / "experiments", self.bin, self.home):
            made.mkdir(parents=True)
        self.log.touch()
        shutil.copy(ROOT / ".ci" / "smoke", self.root / ".ci")
        for name in ("maml", "protonet"):
            (self.root / "experiments" / f"{name}.py").write_text(PROGRAM)
        (self.root / "experiments" / "flags.py").write_text("no program")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)

    def python(self, path: Path, text: str = FAKE) -> Path:
        """A stand-in at this place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(bash=self.bin / "bash", version_status=0))
        path.chmod(0o755)
        return path

    def run(self, status: int = 0, **more: str) -> tuple[str, str]:
        """What the smoke run prints, and what it says."""
        places = {"PATH": str(self.bin), "HOME": str(self.home), "LOG": str(self.log)}
        command = [str(self.bin / "bash"), str(self.root / ".ci" / "smoke")]
        done = subprocess.run(
            command, env=places | more, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_ci_without_a_newer_python_says_so_and_continues(clone: Clone) -> None:
    clone.python(clone.bin / "python3.11")
    clone.python(clone.bin / "python3.14", BROKEN)
    out, said = clone.run()
    assert "no supported Python newer than 3.11" in said and out == ""
    assert clone.log.read_text() == ""


def test_ci_starts_every_program_with_the_newest_python(clone: Clone) -> None:
    clone.python(clone.bin / "python3.12")
    newest = clone.python(clone.home / ".pyenv" / "versions" / "3.13.0" / "bin" / "python")
    out, _ = clone.run()
    made, installed = clone.log.read_text().splitlines()
    assert made == f"venv {newest}" and installed.endswith("-r requirements.txt")
    assert "<experiments.maml><--dataset=glyphs>" in out and "<--steps=2>" in out
    assert "experiments._cli.flags" not in out


def test_ci_fails_where_a_program_does_not_start(clone: Clone) -> None:
    broken = FAKE.replace('*) echo "pid', '"-P -m") echo oops >&2; exit 1 ;;\n*) echo "pid')
    _, said = clone.run(status=1, SMOKE_PYTHON=str(clone.python(clone.bin / "mine", broken)))
    assert "experiments.maml does not start" in said
