"""Two simulated CPU devices, quick compilation and its cache, and the folder of real data, for
every test.
"""

import gc
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest


def _configure_jax() -> None:
    """Sets what JAX reads when it is first imported; what the caller has set stays."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    # Tiny programs run once: most of their time is compilation. It optimises little here, and emits
    # fused operations the older way, which takes half the time; but that multiplies and adds in one
    # step here and not there, and two programs that compute the same would no longer agree to the
    # bit: it does so nowhere with the instructions of AVX.
    hasty = ["--xla_backend_optimization_level=0"]
    # In one piece: a tiny program cut into 32 takes longer, and other tests keep the other cores busy
    hasty += ["--xla_cpu_parallel_codegen_split_count=1"]
    if platform.machine() in ("x86_64", "AMD64"):
        hasty += [
            "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
            "--xla_cpu_max_isa=AVX",
        ]
    for flag in ("--xla_force_host_platform_device_count=2", *hasty):
        if not any(given.startswith(flag.partition("=")[0]) for given in flags):
            flags.append(flag)
    os.environ["XLA_FLAGS"] = " ".join(flags)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # Without lines of source in compiled programs: no test reads them, and finding them takes time
    os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "metalearn" / "xla"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


_configure_jax()
# Tracing makes many small objects: a tenth of the time went into looking at them
gc.set_threshold(200_000, 50, 100)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --data_dir; write it with `=`, or pytest takes the folder for one of tests."""
    default = os.environ.get("METALEARN_DATA_DIR")
    parser.addoption(
        "--data_dir", default=default, help="folder of real data; default: METALEARN_DATA_DIR"
    )


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of real datasets; a test that asks for it is skipped where there is none."""
    folder = request.config.getoption("--data_dir")
    if not folder:
        pytest.skip(
            "real data: pass --data_dir=FOLDER or METALEARN_DATA_DIR, a folder with the official files"
        )
    if not Path(folder).is_dir():
        pytest.fail(f"--data_dir {folder}: no such folder")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for converted datasets, shared by the tests of one run and thrown away with it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def few_images() -> Iterator[None]:
    """Running statistics are measured on fewer images, and a block to be filled up is of fewer."""
    # Not before JAX is configured
    from metalearn.evaluation import blocks, statistics
    from tests.small import FEW

    (images, batches) = FEW

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "LEAST_IMAGES", images)
        patch.setattr(statistics, "LEAST_BATCHES", batches)
        patch.setattr(blocks, "BLOCK", 16)
        yield


@pytest.fixture
def accelerated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is traced takes the forms for an accelerator, computed on this machine's CPU."""
    import jax  # not before it is configured

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
