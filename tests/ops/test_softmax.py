"""Softmax of NumPy arrays, beside SciPy's."""

import numpy as np
import pytest
from scipy import special

from metalearn.ops.softmax import log_softmax, softmax


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_that_of_scipy(dtype: type) -> None:
    logits = (30 * np.random.default_rng(0).normal(size=(2, 3, 40))).astype(dtype)
    logits[0, 0] = 1e4  # without the maximum subtracted it would overflow
    np.testing.assert_array_equal(softmax(logits), special.softmax(logits, -1))
    np.testing.assert_array_equal(log_softmax(logits), special.log_softmax(logits, -1))
    assert softmax(logits).dtype == log_softmax(logits).dtype == dtype
