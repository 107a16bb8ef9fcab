"""What a step needs at least, counted from shapes, against what the device can do.

The need is arithmetic and memory traffic.

A convolution's forward pass, its gradient in the input and its gradient in the kernel are products
of one size. An outer step of MAML makes, for every inner step, the forward pass and both gradients,
and on the way back the derivatives of these three, two products each: nine, of which the first
layer, whose input is given, needs four. A loss's plain gradient takes three, the first layer two.
Recomputation is not counted: it is a choice, not a need.
"""

from typing import NamedTuple

from benchmarks._lib.work import BLOCKS, CHANNELS, Work, features

INNER, INNER_FIRST = 9, 4
OUTER, OUTER_FIRST = 3, 2


class Need(NamedTuple):
    """The least that a step takes.

    Floating-point operations, and bytes moved if every product reads its operands and writes its
    result once, in four bytes a number.
    """

    flops: float
    bytes: float


class Peaks(NamedTuple):
    """What the device did in this very run.

    FLOP/s of a matrix product, bytes/s read and written by a copy.
    """

    flops: float
    bytes: float


def network(work: Work, count: int, passes: int, first: int) -> Need:
    """Need of the network's layers on some images.

    Args:
      work: what is timed.
      count: images.
      passes: products of every layer but the first.
      first: products of the first layer.
    """
    flops = 0.0
    moved = 0.0
    channels = CHANNELS
    side = work.side
    for i in range(BLOCKS):
        times = passes if i else first
        kernel = 9 * channels * work.width
        flops += times * 2 * count * side**2 * kernel
        moved += times * 4 * (count * side**2 * (channels + work.width) + kernel)
        channels = work.width
        side = side // 2
    if work.method == "maml":
        flops += passes * 2 * count * features(work) * work.ways
    return Need(flops, moved)


def need(work: Work, embedded: int = 0) -> Need:
    """Need of a step of this work; of an evaluation, of embedding so many images."""
    support = work.ways * work.shots
    query = work.ways * work.queries
    if work.method == "evaluation":
        return network(work, embedded, 1, 1)
    if work.method == "protonet":
        one = network(work, support + query, OUTER, OUTER_FIRST)
        return Need(work.tasks * one.flops, work.tasks * one.bytes)
    inner = network(work, support, INNER, INNER_FIRST)
    outer = network(work, query, OUTER, OUTER_FIRST)
    return Need(
        *(work.tasks * (work.inner_steps * a + b) for a, b in zip(inner, outer, strict=True))
    )


def roofline(least: Need, peaks: Peaks, ms: float) -> dict[str, float]:
    """What a time of so many milliseconds amounts to."""
    seconds = ms / 1e3
    return {
        "gflop": round(least.flops / 1e9, 4),
        "gbytes": round(least.bytes / 1e9, 4),
        "gflops_per_s": round(least.flops / seconds / 1e9, 2),
        "peak_gflops_per_s": round(peaks.flops / 1e9, 1),
        "gbytes_per_s": round(least.bytes / seconds / 1e9, 2),
        "peak_gbytes_per_s": round(peaks.bytes / 1e9, 1),
        "bound_ms": round(1e3 * max(least.flops / peaks.flops, least.bytes / peaks.bytes), 4),
    }


def line(found: dict[str, float]) -> str:
    """The same in a line."""
    return (
        f"roofline: {found['gflop']:.3g} GFLOP at {found['gflops_per_s']:.4g} GFLOP/s, "
        f"{found['gflops_per_s'] / found['peak_gflops_per_s']:.0%} of "
        f"{found['peak_gflops_per_s']:.0f} measured; "
        f"{found['gbytes']:.3g} GB at {found['gbytes_per_s']:.3g} GB/s, "
        f"{found['gbytes_per_s'] / found['peak_gbytes_per_s']:.0%} of "
        f"{found['peak_gbytes_per_s']:.0f}; "
        f"bound {found['bound_ms']:.3g} ms"
    )
