"""run.sh with stand-ins for Python: which interpreter it takes, when it installs, what it runs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "dirname", "sed", "rm", "mv", "mkdir", "cp", "flock")

# Stands in for Python: makes environments that hold itself, notes what pip is asked for, prints
# other commands.
FAKE = """#!{bash}
case "$1 $2" in
"-m venv") mkdir -p "${{!#}}/bin" && cp "$0" "${{!#}}/bin/python" && echo "venv $0" >>"$LOG" ;;
"-m pip") shift 2; echo "pip $*" >>"$LOG"; exit "${{PIP_STATUS:-0}}" ;;
"-c "*) exit {version_status} ;;
*) echo "pid=$$" "cwd=$PWD" "path=$PYTHONPATH" "cache=$JAX_COMPILATION_CACHE_DIR"; printf '<%s>' "$@" ;;
esac
"""
BROKEN = "#!{bash}\necho 'pyenv: command not found' >&2; exit 127\n"


class Checkout:
    """A copy of run.sh in a folder of its own, and a PATH with nothing on it but the tools that it
    uses.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "with space"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.root.mkdir()
        self.bin.mkdir()
        self.log.touch()
        shutil.copy(ROOT / "run.sh", self.root)
        (self.root / "requirements.txt").write_text("jax\n")
        (self.root / "experiments").mkdir()
        for name in ("maml", "protonet"):
            (self.root / "experiments" / f"{name}.py").touch()
        for tool in TOOLS:
            found = shutil.which(tool)
            if found:
                (self.bin / tool).symlink_to(found)

    def python(self, name: str, text: str = FAKE, version_status: int = 0) -> Path:
        """Puts a stand-in on the PATH."""
        path = self.bin / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text.format(bash=self.bin / "bash", version_status=version_status))
        path.chmod(0o755)
        return path

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Starts run.sh from another folder."""
        env = {"PATH": str(self.bin), "HOME": "/home/user", "LOG": str(self.log), **env}
        command = [str(self.bin / "bash"), str(self.root / "run.sh"), *args]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=env, cwd=self.bin, stdout=pipe, stderr=pipe, text=True)

    def run(self, *args: str, status: int = 0, **env: str) -> tuple[str, list[str]]:
        """Runs run.sh to its end: its output, and its lines on stderr."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=30)
        assert process.returncode == status, err
        return out, err.splitlines()

    def done(self) -> list[str]:
        """What happened since the last call: `venv INTERPRETER`, `pip ARGUMENTS`."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_no_python_of_a_supported_version_is_one_line_and_status_2(checkout: Checkout) -> None:
    checkout.python("python3.12", BROKEN)
    checkout.python("python3", version_status=1)
    _, lines = checkout.run("test", status=2)
    assert len(lines) == 1 and "needs Python 3.11 to 3.14" in lines[0]
    assert not (checkout.root / ".venv").exists()


def test_broken_shim_of_python_is_skipped(checkout: Checkout) -> None:
    checkout.python("python3.12", BROKEN)
    works = checkout.python("python3.11")
    checkout.run("setup")
    assert checkout.done()[0] == f"venv {works}"


def test_a_working_python_behind_a_broken_one_of_the_same_name_is_found(checkout: Checkout) -> None:
    checkout.python("python3.12", BROKEN)
    behind = checkout.python("../more/python3.12").resolve()
    checkout.run("setup", PATH=f"{checkout.bin}:{behind.parent}")
    assert checkout.done()[0] == f"venv {behind}"


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13", "python3.14"])
def test_every_supported_python_is_found_by_its_name(checkout: Checkout, name: str) -> None:
    works = checkout.python(name)
    checkout.run("setup")
    assert checkout.done()[0] == f"venv {works}"


def test_the_supported_versions_are_those_of_the_package() -> None:
    lines = (ROOT / "run.sh").read_text().splitlines()
    (code,) = [line.split("'")[1] for line in lines if line.startswith("supported=")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least, beyond = re.findall(r"3\.(\d+)", project["requires-python"])
    for minor in range(int(least) - 1, int(beyond) + 1):
        posed = f"import sys; sys.version_info = (3, {minor}, 0); {code}"
        status = subprocess.run([sys.executable, "-c", posed]).returncode
        assert status == (not int(least) <= minor < int(beyond)), minor


def test_named_python_is_taken_first(checkout: Checkout) -> None:
    checkout.python("python3.12")
    mine = checkout.python("mine")
    checkout.run("setup", PYTHON=str(mine))
    assert checkout.done()[0] == f"venv {mine}"


def test_the_second_run_installs_nothing_until_the_requirements_change(checkout: Checkout) -> None:
    checkout.python("python3")
    checkout.run("setup")
    assert checkout.done()[-1].startswith("pip install")
    assert checkout.run("setup") == ("", [])
    assert checkout.done() == []
    (checkout.root / "requirements.txt").write_text("jax\nflax\n")
    checkout.run("setup")
    assert [line.split()[0] for line in checkout.done()] == ["pip"]


def test_a_failed_installation_ends_in_one_clear_line_and_is_repeated(checkout: Checkout) -> None:
    checkout.python("python3")
    _, lines = checkout.run("setup", status=1, PIP_STATUS="1")
    assert "installation failed" in lines[-1] and len(lines) == 3
    checkout.done()
    checkout.run("setup")
    assert checkout.done()[-1].startswith("pip install")


def test_environment_of_another_python_is_made_again(checkout: Checkout) -> None:
    works = checkout.python("python3")
    checkout.run("setup")
    checkout.done()
    checkout.python("../with space/.venv/bin/python", version_status=1)
    checkout.run("setup")
    assert [line.split(" ", 1)[0] for line in checkout.done()] == ["venv", "pip"]
    assert (checkout.root / ".venv/bin/python").read_text() == works.read_text()


def test_jax_for_an_accelerator_is_installed_and_remembered(checkout: Checkout) -> None:
    checkout.python("python3")
    checkout.run("setup")
    checkout.done()
    checkout.run("setup", METALEARN_JAX="jax[cuda13]")
    assert " jax[cuda13] -r " in checkout.done()[-1]
    checkout.run("setup")
    assert checkout.done() == []


def test_programs_get_their_arguments_and_keep_the_folder_and_the_process(
    checkout: Checkout,
) -> None:
    checkout.python("python3")
    checkout.run("setup")
    process = checkout.start("experiments.protonet", "--workdir=a b", "")
    out, _ = process.communicate(timeout=30)
    assert out.endswith("<-P><-m><experiments.protonet><--workdir=a b><>")
    assert (
        f"pid={process.pid} cwd={checkout.bin} path={checkout.root} " in out
    )  # the process itself: signals reach it
    assert "cache=/home/user/.cache/metalearn/xla" in out


def test_the_cache_folder_that_is_set_stays(checkout: Checkout) -> None:
    checkout.python("python3")
    assert (
        "cache=/elsewhere\n"
        in checkout.run("experiments.maml", JAX_COMPILATION_CACHE_DIR="/elsewhere")[0]
    )


def test_run_sh_without_a_program_runs_the_main_job(checkout: Checkout) -> None:
    checkout.python("python3")
    job = "<-P><-m><experiments.maml><--dataset=glyphs>"
    assert checkout.run()[0].endswith(f"{job}<--workdir={checkout.root}/runs/glyphs-maml>")
    assert checkout.run("--seed=1")[0].endswith(f"{job}<--seed=1>")


def test_run_sh_runs_the_tests_in_the_checkout(checkout: Checkout) -> None:
    checkout.python("python3")
    out, _ = checkout.run("test", "-k", "a b")
    assert (
        "<-m><pytest><--numprocesses=auto>" in out
        and out.endswith("<-k><a b>")
        and f"cwd={checkout.root} " in out
    )


@pytest.mark.parametrize(
    ("name", "told"), [("experiments.nope", "experiments/nope.py"), ("maml", "experiments.maml")]
)
def test_a_program_that_is_not_there_is_one_line_and_status_2(
    checkout: Checkout, name: str, told: str
) -> None:
    _, lines = checkout.run(name, status=2)
    assert len(lines) == 1 and f"no program {name}" in lines[0] and told in lines[0]


def test_run_sh_help_needs_no_environment(checkout: Checkout) -> None:
    out, lines = checkout.run("--help")
    assert "./run.sh test" in out and "set -euo" not in out and not lines


def test_shell_files_are_executable() -> None:
    assert all(os.access(ROOT / name, os.X_OK) for name in ("run.sh", ".ci/run", ".ci/smoke"))
