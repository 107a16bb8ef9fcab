"""MAML by jax-meta (Deleu 2022), over its own Conv4 with a linear head, in JAX and Haiku.

Its convolutions carry biases, which batch moments cancel; it keeps running averages, which training
does not read. Tasks come from the host, as its data loaders deliver them.
"""

from collections import namedtuple
from importlib.metadata import version
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax_meta.metalearners.maml import MAML
from jax_meta.modules.conv import Conv4

from benchmarks._lib.work import BLOCKS, Arrays, Work, images, scaled
from benchmarks._lib.worker import Contender, best_seconds, serve

Data = namedtuple("Data", "inputs targets")


def names() -> dict[str, tuple[str, str]]:
    """Our names of parameters, and where Haiku keeps them."""
    found = {"head/w": ("linear", "w"), "head/b": ("linear", "b")}
    for i in range(BLOCKS):
        layer = f"conv4/layer{i + 1}"
        found[f"body/conv{i}"] = (f"{layer}/conv", "w")
        found |= {
            f"body/norm{i}/scale": (f"{layer}/norm", "scale"),
            f"body/norm{i}/shift": (f"{layer}/norm", "offset"),
        }
    return found


def draw(work: Work, split: np.ndarray, rng: np.random.Generator) -> tuple[Data, Data]:
    """Support and queries of fresh tasks."""
    classes = rng.random((work.tasks, work.classes)).argsort(1)[:, : work.ways]
    ranks = rng.random((work.tasks, work.ways, work.per_class))
    x = split[
        classes[..., None],
        ranks.argpartition(work.shots + work.queries - 1)[..., : work.shots + work.queries],
    ]
    parts = []
    for part in (x[:, :, : work.shots], x[:, :, work.shots :]):
        labels = np.tile(np.repeat(np.arange(work.ways), part.shape[2]), (work.tasks, 1))
        parts.append(
            Data(
                scaled(jnp.asarray(part).reshape(work.tasks, -1, *part.shape[3:])),
                jnp.asarray(labels),
            )
        )
    return parts[0], parts[1]


def peaks(size: int) -> tuple[float, float]:
    """FLOP/s of a square matrix product, bytes/s of a copy."""
    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(jnp.matmul)
    copy = jax.jit(lambda x: x + 1)
    seconds = best_seconds(lambda: product(a, a).block_until_ready())
    return 2 * size**3 / seconds, 2 * a.nbytes / best_seconds(lambda: copy(a).block_until_ready())


def memory() -> float:
    """Peak of the device, MiB."""
    return (jax.devices()[0].memory_stats() or {})["peak_bytes_in_use"] / 2**20


def make(work: Work) -> Contender:
    """See the file."""
    exact = work.precision == "float64"
    jax.config.update("jax_enable_x64", exact)
    jax.config.update(
        "jax_default_matmul_precision", "tensorfloat32" if work.precision == "tf32" else "float32"
    )
    if jax.devices()[0].platform != work.platform:
        raise RuntimeError(f"this JAX finds no {work.platform}")
    network = hk.transform_with_state(
        lambda x, training: hk.Linear(work.ways)(Conv4(work.width)(x, training))
    )
    learner = MAML(hk.without_apply_rng(network), num_steps=work.inner_steps, alpha=work.inner_lr)
    x = jnp.zeros((1, work.side, work.side, 3), jnp.float64 if exact else jnp.float32)
    params, state = learner.init(jax.random.PRNGKey(0), optax.adam(1e-3), x, True)
    split = images(work)
    rng = np.random.default_rng(1)

    def steps(count: int) -> float:
        nonlocal params, state
        for _ in range(count):
            params, state, logs = learner.step(params, state, *draw(work, split, rng), True)
        return float(logs["outer/loss"].mean())

    def gradient(given: Arrays) -> Arrays:
        put: dict[str, Any] = {k: dict(v) for k, v in params.items()}
        for name, (module, leaf) in names().items():
            put[module][leaf] = jnp.asarray(given[name]).reshape(put[module][leaf].shape)
        tasks = [
            Data(jnp.asarray(given[f"{k}_x"]), jnp.asarray(given[f"{k}_y"]))
            for k in ("support", "query")
        ]
        of = jax.jit(
            jax.value_and_grad(
                lambda p: learner.batch_outer_loss(p, state.model, *tasks, (True,))[0]
            )
        )
        loss, grads = of(put)
        found = {name: np.asarray(grads[module][leaf]) for name, (module, leaf) in names().items()}
        return {"loss": loss} | {k: v.reshape(given[k].shape) for k, v in found.items()}

    about = {"jax": jax.__version__, "haiku": hk.__version__, "jax-meta": version("jax-meta")}
    return Contender(about, steps, gradient, peaks, None if work.platform == "cpu" else memory)


if __name__ == "__main__":
    serve(make)
