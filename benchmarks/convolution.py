"""Formulations of a task's own convolution and 2x2 maximum, timed on this backend.

`python -m benchmarks.convolution [--tasks=4] [--again]`

Every task has its own kernel. Under `vmap` over tasks `native` (`lax.conv`) becomes a grouped
convolution; `patches` are multiplied with the weights; `block` gets all four places of a pooling
window from one 4x4 patch, with 16/9 of the arithmetic on a quarter of the patches; `windows` takes
these patches too, with a product for each place. `one by one` the tasks are convolved as images are
that share a kernel. `metalearn` is what the library trains with: `windows` in a first layer, behind
it `one by one` on a CPU and `patches` elsewhere.

Each is timed forward, as a gradient (in input and kernel), and as the gradient of a gradient's
squared length, as MAML needs it; called alone, and within `lax.scan`, as in the inner loop. In a
row, the others stand as peers.
"""

import time
from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp

from benchmarks._lib.contenders import OURS
from benchmarks._lib.measure import Found, times
from benchmarks._lib.program import FLAGS, pending, run, settings, show_missing, sized
from benchmarks._lib.records import add_row
from benchmarks._lib.work import Work
from benchmarks._lib.worker import reason
from experiments._cli.define import define_flag
from metalearn.models.conv import conv, max_pool
from metalearn.models.first_layer import prepare
from metalearn.runtime import configure
from metalearn.types import Array

LAYERS = ((32, 3), (16, 32), (8, 32))  # side, channels
TURNS = 3  # of the scan
Form = Callable[[Array, Array], Array]


def native(x: Array, w: Array) -> Array:
    """The backend's convolution."""
    return max_pool(
        jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )


def patches(x: Array, w: Array) -> Array:
    """The library's form for kernels of several tasks."""
    return max_pool(conv(x, w, dtype=x.dtype))


def one(x: Array, w: Array) -> Array:
    """The library's form for a kernel that all images share."""
    return max_pool(conv(x, w, dtype=x.dtype, shared=True))


def block(x: Array, w: Array) -> Array:
    """One product for the four places of every pooling window; x [B,H,W,Ch] with even H and W."""
    places = [jnp.pad(w, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)]
    y = conv(x, jnp.concatenate(places, -1), stride=2, dtype=x.dtype)
    return y.reshape(*y.shape[:3], 4, w.shape[-1]).max(3)


def windows(x: Array, w: Array) -> Array:
    """The library's form for a first layer; H and W are even.

    The maximum over the places of every pooling window.
    """
    return reduce(jnp.maximum, prepare(x, dtype=x.dtype, windows=True).conv(w))


def formulations(layer: int) -> dict[str, Form]:
    """The one that the library trains with here, and the others."""
    forms: dict[str, Form] = {
        "one by one": one,
        "patches": patches,
        "native": native,
        "block": block,
    }
    if not layer:
        return {OURS: windows} | forms
    ours = "one by one" if jax.default_backend() == "cpu" else "patches"
    return {OURS: forms.pop(ours)} | forms


def squared_length(pair: tuple[Array, Array]) -> Array:
    """The squared length of both arrays together."""
    return jnp.square(pair[0]).sum() + jnp.square(pair[1]).sum()


def passes(form: Form, order: str) -> Form:
    """`(x [B,H,W,Ch], w) -> number` that needs this order of derivatives.

    The forward pass, its gradient, or the gradient of that.
    """

    def forward(x: Array, w: Array) -> Array:
        return jnp.square(form(x, w)).mean()

    def gradient(x: Array, w: Array) -> Array:
        return squared_length(jax.grad(forward, (0, 1))(x, w))

    def second(x: Array, w: Array) -> Array:
        return squared_length(jax.grad(gradient, (0, 1))(x, w))

    return {"forward": forward, "gradient": gradient, "second": second}[order]


def program(form: Form, order: str, looped: bool) -> Form:
    """Compiled for tasks: x [turns,T,B,H,W,Ch], w [T,3,3,Ch,F]."""
    each = passes(form, order)
    # As training works on tasks there
    alone = form is one or (form is windows and jax.default_backend() == "cpu")
    tasks = (
        partial(jax.lax.map, lambda task: each(*task))
        if alone
        else lambda both: jax.vmap(each)(*both)
    )

    def run(x: Array, w: Array) -> Array:
        if not looped:
            return tasks((x[0], w))
        return jax.lax.scan(
            lambda total, part: (total + tasks((part, w)), None), jnp.zeros(x.shape[1]), x
        )[0]

    return jax.jit(run)


def measure(work: Work, layer: int, order: str, looped: bool) -> None:
    """Measure, print and record one row.

    Args:
      work: its tasks, images and width.
      layer: position in `LAYERS`.
      order: `forward`, `gradient` or `second`, see `passes`.
      looped: within `lax.scan`, not alone.
    """
    side, channels = LAYERS[layer]
    images = work.ways * work.shots
    where = f"{order}, {TURNS} turns of a scan" if looped else f"{order}, alone"
    started = pending(
        "convolution", work, f"{side}x{side}x{channels}->{work.width}, {images} images, {where}"
    )
    if started is None:
        return
    path, row = started
    key = jax.random.key(0)
    x = jax.random.normal(key, (TURNS if looped else 1, work.tasks, images, side, side, channels))
    w = jax.random.normal(key, (work.tasks, 3, 3, channels, work.width)) / 10
    ready = {}
    missing = {}
    for name, form in formulations(layer).items():
        try:
            ready[name] = program(form, order, looped)
            ready[name](x, w).block_until_ready()
        except Exception as error:  # a backend that cannot; the record says so
            missing[name] = reason(error)
    ms: dict[str, list[float]] = {name: [] for name in ready if name not in missing}
    for _ in range(FLAGS.rounds):
        for name, values in ms.items():
            values.append(_milliseconds(lambda run=ready[name]: run(x, w).block_until_ready()))  # type: ignore[misc]
    row |= times(Found(ms, {}, missing, None)) | {"missing": missing, "rounds": FLAGS.rounds}
    shown = ", ".join(
        f"{name} {value} ms" for name, value in {OURS: row["ours_ms"], **row["peers"]}.items()
    )
    print(f"  {shown}", flush=True)
    show_missing(row)
    add_row(path, row)


def _milliseconds(run: Callable[[], object]) -> float:
    """A call's time, over as many as fit into --seconds / 10, or --steps."""
    begin = time.perf_counter()
    made = 0
    while made < max(1, FLAGS.steps) or (
        not FLAGS.steps and time.perf_counter() - begin < FLAGS.seconds / 10
    ):
        run()
        made += 1
    return 1e3 * (time.perf_counter() - begin) / made


def main() -> None:
    """Measure all layers, orders and forms."""
    tasks = settings(FLAGS.tasks, ["4"], ["4", "32"])
    configure(1, "float32")
    for work in sized(Work(method="convolution", shots=5, tasks=int(t)) for t in tasks):
        for layer in range(1 if FLAGS.tiny else len(LAYERS)):
            for order in ("forward",) if FLAGS.tiny else ("forward", "gradient", "second"):
                for looped in (False, True):
                    measure(work, layer, order, looped)


if __name__ == "__main__":
    define_flag("tasks", None, "tasks, each with its own kernel [4; on an accelerator 4,32]", list)
    run(main)
