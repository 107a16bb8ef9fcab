"""Keys are of one generator, whatever JAX is set to."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from metalearn.types import random_key
from tests.programs import environment


def test_environment_variables_do_not_change_random_keys() -> None:
    """Variables that JAX reads when it is imported: a process of its own."""
    drawn = "jax.random.bits(random_key(7), (3,), 'uint32')"
    code = f"import jax; from metalearn.types import random_key; print(*{drawn})"
    asked = {
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_RANDOM_SEED_OFFSET": "5",
        "JAX_ENABLE_X64": "1",
    }
    command = [sys.executable, "-c", code]
    here = environment(**asked)
    said = subprocess.run(command, env=here, capture_output=True, text=True, check=True)
    expected = jax.random.bits(jax.random.key(7, impl="threefry2x32"), (3,))
    assert said.stdout.split() == [str(word) for word in expected]


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**31, 2**32 - 1])
def test_random_key_of_a_seed_is_that_of_jax(seed: int) -> None:
    found = jax.random.key_data(random_key(seed))
    np.testing.assert_array_equal(found, jax.random.key_data(jax.random.key(seed)))
