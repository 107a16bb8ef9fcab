"""What comparisons with other libraries share: random weights that leave nothing at its default."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.models.zoo import load_body
from metalearn.types import Body

REASON = "comparisons with other libraries: pip install -r requirements-parity.txt"
TOLERANCE = 1e-4


def libraries(*names: str) -> None:
    """Skip the tests of a module where one of the libraries is missing."""
    for name in names:
        pytest.importorskip(name, reason=REASON)


def images(size: int, number: int = 2) -> np.ndarray:
    """Smooth random images [B,size,size,3] about zero."""
    rng = np.random.default_rng(size)
    coarse = rng.normal(size=(number, 8, 8, 3))
    fine = jax.image.resize(coarse, (number, size, size, 3), "cubic")
    return np.asarray(fine + 0.3 * rng.normal(size=(number, size, size, 3)), np.float32)


def randomise(model) -> None:
    """Scales, shifts and running statistics of a PyTorch model that are not ones and zeros."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.ndim > 1 or not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("weight"):
                value.uniform_(0.7, 1.3)
            elif name.endswith(("lambda1", "gamma")):
                value.uniform_(0.2, 0.8)
            else:
                value.normal_(0, 0.1)
    model.eval()


def channels_first(x: np.ndarray):
    import torch

    return torch.tensor(x.transpose(0, 3, 1, 2).copy())


def features(body: Body, x: np.ndarray, **part: str) -> np.ndarray:
    """Of standardised images, or the output of a part."""
    run = jax.jit(body.run, static_argnames=("first", "last"))
    return np.asarray(run(body.params, jnp.asarray(x), body.moments, **part))


def compare(found: np.ndarray, expected: np.ndarray) -> None:
    """Within the tolerance, relative to the largest number, which must not vanish."""
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert scale > 0.01
    error = np.abs(found - expected).max() / max(scale, 1.0)
    print(f"largest difference {error:.1e}, largest number {scale:.2f}")
    assert error < TOLERANCE


def saved(model, folder: Path, name: str) -> Body:
    """The body of the safetensors that transformers saves."""
    model.save_pretrained(folder)
    return load_body(name, folder / "model.safetensors")
