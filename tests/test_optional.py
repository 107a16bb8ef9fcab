"""Packages that the tests can do without: those that need one skip, and all others are collected."""

import os
import subprocess
import sys
from pathlib import Path

from tests.programs import ROOT, environment

OPTIONAL = ("tensorflow_datasets", "array_record", "tensorboardX", "pooch")


def test_all_tests_are_collected_without_optional_packages(tmp_path: Path) -> None:
    absent = f"import sys\nsys.modules.update(dict.fromkeys({OPTIONAL}))\n"
    (tmp_path / "sitecustomize.py").write_text(absent)
    env = environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-rs"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    others = ("requirements-parity.txt", "requirements-export.txt", "requirements-dev.txt")
    skipped = [line for line in skipped if not any(name in line for name in others)]
    assert len(skipped) == 3
    assert all("could not import 'tensorflow_datasets'" in line for line in skipped)
