"""What prepares a short lease of a GPU: kernels counted, steps planned, parcels packed."""

import os
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks._lib.planned import assembled, lab_of, planned, shapes
from benchmarks.lease import ahead, sanity
from benchmarks.lease.kernels import kernels, parse, summary
from metalearn.config import Config
from metalearn.data.inputs import inputs_of, standardise
from metalearn.training.step import task_mesh
from tests.programs import ROOT

HLO = """HloModule jit_chunk, is_scheduled=true

%fused_computation (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %add = f32[4]{0} add(%p, %p)
}

%inner_body (arg: (s32[], f32[4])) -> (s32[], f32[4]) {
  %arg = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%arg), index=1
  %loop = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused_computation
  %conv = (f32[4]{0}, u8[0]{0}) custom-call(%x), custom_call_target="__cudnn$convForward"
  ROOT %out = (s32[], f32[4]{0}) tuple(%x, %loop)
}

%inner_condition (arg: (s32[], f32[4])) -> pred[] {
  %arg = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] compare(%arg, %arg), direction=LT
}

%body (arg: (s32[], f32[4])) -> (s32[], f32[4]) {
  %arg = (s32[], f32[4]{0}) parameter(0)
  %one = f32[4]{0} fusion-start(%arg), kind=kLoop, calls=%fused_computation
  %done = f32[4]{0} fusion-done(%one)
  %called = f32[4]{0} call(%done), to_apply=%helper
  ROOT %while = (s32[], f32[4]{0}) while(%arg), TURNS
}

%helper (arg: f32[4]) -> f32[4] {
  %arg = f32[4]{0} parameter(0)
  ROOT %copy = f32[4]{0} copy(%arg)
}

ENTRY %main (arg: (s32[], f32[4])) -> (s32[], f32[4]) {
  %arg = (s32[], f32[4]{0}) parameter(0)
  ROOT %while = (s32[], f32[4]{0}) while(%arg), condition=%inner_condition, body=%body
}
"""

TURNS = (
    'condition=%inner_condition, body=%inner_body, backend_config={"known_trip_count":{"n":"5"}}'
)
HLO = HLO.replace("TURNS", TURNS)


def test_kernel_counts_multiply_by_the_turns_of_loops() -> None:
    assert kernels(parse(HLO)) == {
        "fusion kLoop": 5,
        "custom-call __cudnn$convForward": 5,
        "compare": 6,
        "fusion-start": 1,
        "copy": 1,
    }
    assert summary(HLO).startswith("18 kernels: 6 compare, ")


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("method", ["maml", "protonet", "baseline"])
def test_planned_step_is_traced_without_data(method: str, seeds: int) -> None:
    config = Config(method=method, backbone="conv2-8", meta_batch=2, batch_size=4).with_defaults()
    lab = lab_of(planned(classes=6, class_images=20, side=8, channels=1), task_mesh(1))
    training = assembled(config, lab, seeds)
    called_with = shapes(training, seeds)
    after, _ = jax.eval_shape(training.chunk, *called_with)
    assert jax.tree.map(np.shape, after) == jax.tree.map(np.shape, called_with[0])


def test_random_images_are_prepared_as_those_they_stand_for() -> None:
    made = ahead.random_dataset("cifar_fs", None, seed=0)
    assert [len(split.counts) for split in (made.train, made.valid, made.test)] == [64, 16, 20]
    assert made.train.images.shape == (64 * 600, 32, 32, 3)
    grey = standardise(inputs_of(made))(np.full((1, 1, 1, 3), 128, np.uint8))
    assert np.abs(grey).max() < 1


def test_every_form_of_a_convolution_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    before = jax.config.jax_default_matmul_precision
    try:
        assert sanity.main() == 0
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    assert capsys.readouterr().out.count(" ok ") == 9


def test_packed_parcels_hold_the_archives(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    archive = np.random.default_rng(0).bytes(1000)
    (data / "cifar-100-binary.tar.gz").write_bytes(archive)
    (data / "images_background.zip").touch()
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    scripts = tree / "benchmarks" / "lease"
    scripts.mkdir(parents=True)
    (scripts / "pack.sh").write_bytes((ROOT / "benchmarks" / "lease" / "pack.sh").read_bytes())
    git = ["git", "-C", str(tree), "-c", "user.name=name", "-c", "user.email=name@example.com"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    command = ["bash", str(scripts / "pack.sh"), str(data)]
    env = {"PATH": os.environ["PATH"], "PYTHON": "false"}  # nothing can be downloaded
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = [tree / f".lease{i}" / f"part.{i}" for i in (1, 2, 3)]
    assert b"".join(part.read_bytes() for part in parts) == archive
    assert len((tree / ".lease1" / "commit").read_text().strip()) == 12
    assert (tree / ".lease1" / "images_background.zip").exists()
    assert "no higher: left out" in done.stderr
