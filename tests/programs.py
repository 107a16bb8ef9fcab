"""Running programs on a tiny folder of images, inside this process or as a process of their own."""

import io
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import flags
from PIL import Image

from experiments._cli.start import DEFINING
from metalearn.data import find_reader, glyphs
from metalearn.data.cache import cached
from metalearn.learners.registry import readers

ROOT = Path(__file__).resolve().parent.parent
TINY = {
    "dataset": "folder",
    "image_size": 8,
    "backbone": "conv2-8",
    "ways": 2,
    "queries": 3,
    "train_queries": 3,
    "inner_steps": 1,
    "test_inner_steps": 2,
    "steps": 4,
    "valid_every": 2,
    "valid_episodes": 4,
    "episodes": 6,
    "meta_batch": 2,
    "batch_size": 8,
}
# The only things that may differ
TIMES = {
    "seconds",
    "tasks_per_s",
    "images_per_s",
    "peak_memory_mb",
    "train_wall_s",
}


def make_images(folder: Path, classes: int = 12, images: int = 8, size: int = 8) -> Path:
    """Class folders of PNGs; the images of a class are one random picture plus noise."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        base = rng.integers(0, 256, (size, size, 3))
        (folder / f"class{label:02d}").mkdir(parents=True)
        for i in range(images):
            pixels = np.clip(base + rng.normal(0, 40, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class{label:02d}" / f"{i}.png")
    return folder


def few_glyphs(cache: Path) -> Path:
    """A cache folder in which `glyphs` has three scripts: to draw all of them takes a minute."""
    scripts = {"train": ("DIGIT",), "valid": ("OGHAM",), "test": ("NKO",)}
    version = find_reader("glyphs").version
    cached(cache, f"glyphs-v{version}-few", lambda: glyphs.read(cache, scripts))
    return cache


def words(images: Path, **settings: object) -> list[str]:
    """The flags of a tiny run on these images, some set otherwise, or left out by None."""
    places = {"data_dir": images, "cache_dir": images.parent / "cache"}
    return [
        f"--{name}={value}"
        for name, value in (TINY | places | settings).items()
        if value is not None
    ]


class Said(NamedTuple):
    """What a program leaves behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of an error; notes on the images may stand before it."""
        lines = self.err.replace("\r", "\n").splitlines()
        shown = [line for line in lines if not line.startswith("note: ")]
        # No bars
        lines = [
            line for line in shown if line.strip() and not re.search(r"\d+%\|.*\| \d+/\d+ \[", line)
        ]
        assert self.code == 2 and len(lines) == 1 and lines[0].startswith("error: "), self
        return lines[0].removeprefix("error: ")


def fitting(name: str, arguments: Sequence[str]) -> list[str]:
    """The arguments without those of `TINY` that the method to be trained would refuse; all, of
    other programs.
    """
    usual = {
        "maml": "maml",
        "protonet": "protonet",
        "embedding": "protonet",
        "finetune": "baseline",
    }
    if name not in usual:
        return list(arguments)
    method = next(
        (word.removeprefix("--method=") for word in arguments if word.startswith("--method=")),
        usual[name],
    )
    refused = {f"--{name}={value}" for name, value in TINY.items() if method not in readers(name)}
    return [word for word in arguments if word not in refused]


def program(name: str, *arguments: str) -> Said:
    """`python -m experiments.<name> <arguments>` inside this process, compiled hastily."""
    precision = jax.config.jax_default_matmul_precision
    out, err = io.StringIO(), io.StringIO()
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        ours = mock.patch.multiple(
            sys, argv=[name, *fitting(name, arguments)], unraisablehook=sys.unraisablehook
        )
        with ours, redirect_stdout(out), redirect_stderr(err):
            runpy.run_module(f"experiments.{name}", run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = 0 if stop.code is None else int(stop.code)
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
        jax.config.update("jax_default_matmul_precision", precision)
        by_module = flags.FLAGS.flags_by_module_dict()
        ours = (*DEFINING, name)
        for flag in [flag for module in ours for flag in by_module.get(module, [])]:
            delattr(flags.FLAGS, flag.name)
    return Said(code, out.getvalue(), err.getvalue())


def environment(**more: str) -> dict[str, str]:
    """For a process of its own: this one's, with hasty compilation and the project on the path."""
    kept = {k: v for k, v in os.environ.items() if k not in ("GLIBC_TUNABLES", "METALEARN_STARTED")}
    return kept | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": str(ROOT)} | more


def on_devices(count: int) -> str:
    """This process's XLA_FLAGS, but for so many simulated devices."""
    return re.sub(r"(device_count)=\d+", rf"\1={count}", os.environ["XLA_FLAGS"])


def process(name: str, *arguments: str, cwd: Path, **more: str) -> Said:
    """`python -m experiments.<name> <arguments>` as a process of its own."""
    command = [sys.executable, "-m", f"experiments.{name}", *fitting(name, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300
    )
    return Said(done.returncode, done.stdout, done.stderr)


def weights(workdir: Path, kind: str) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint of this kind, by path."""
    folder = workdir / "checkpoints" / kind
    step = max(int(name) for name in os.listdir(folder) if name.isdigit())
    with ocp.StandardCheckpointer() as reader:
        saved = reader.metadata(folder / str(step) / "default").item_metadata.tree
        like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), saved)  # wherever it was saved
        tree = reader.restore(folder / str(step) / "default", like)
    return {
        jax.tree_util.keystr(path): np.asarray(x)
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def told(path: Path) -> dict:
    """What the record at path tells, side by side; the normalisation of its training as train_norm."""
    record = json.loads(path.read_text())
    flat = record["config"] | {"train_norm": record["config"]["norm"], "lineage": record["lineage"]}
    return flat | record["test"] | record["measured"] | record["provenance"]


def lasting(record: dict) -> dict:
    """A record or row without what depends on the clock and the machine's memory."""
    return {k: v for k, v in record.items() if k not in TIMES}


def rows(workdir: Path) -> list[dict]:
    """The rows of a run's metric log, without times."""
    return [
        lasting(json.loads(line)) for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]


def results(workdir: Path) -> dict[str, dict]:
    """What a run's records tell, without times, by file."""
    return {path.name: lasting(told(path)) for path in sorted(workdir.glob("result-*.json"))}


def contents(workdir: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a run with its time and bytes: what must not change where nothing is done."""
    files = sorted(path for path in workdir.rglob("*") if path.is_file())
    return {
        str(path.relative_to(workdir)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in files
    }
