"""The convolutions of Inception-v3, by their names in torchvision.

A block is branches side by side, each a row of convolutions, joined at the end. They are listed in
the order in which Keras makes them: one list gives the network and the files of both libraries.
"""

from typing import NamedTuple

Size = tuple[int, int]


class Conv(NamedTuple):
    """A convolution; of stride 2, or where said so, only whole windows count."""

    name: str
    width: int
    kernel: Size = (1, 1)
    stride: int = 1
    valid: bool = False


class Branch(NamedTuple):
    """Pooling, a row of convolutions, then alternatives on the last one's output, joined."""

    row: tuple[Conv, ...]
    pool: str = ""  # "average" or "max" (3x3, stride 2)
    last: tuple[Conv, ...] = ()


Branches = tuple[Branch, ...]
TALL = (7, 1)
WIDE = (1, 7)


def _a(pool: int) -> Branches:
    return (
        Branch((Conv("branch1x1", 64),)),
        Branch((Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5)))),
        Branch(
            (
                Conv("branch3x3dbl_1", 64),
                Conv("branch3x3dbl_2", 96, (3, 3)),
                Conv("branch3x3dbl_3", 96, (3, 3)),
            )
        ),
        Branch((Conv("branch_pool", pool),), "average"),
    )


def _b() -> Branches:
    return (
        Branch((Conv("branch3x3", 384, (3, 3), 2),)),
        Branch(
            (
                Conv("branch3x3dbl_1", 64),
                Conv("branch3x3dbl_2", 96, (3, 3)),
                Conv("branch3x3dbl_3", 96, (3, 3), 2),
            )
        ),
        Branch((), "max"),
    )


def _c(width: int) -> Branches:
    return (
        Branch((Conv("branch1x1", 192),)),
        Branch(
            (
                Conv("branch7x7_1", width),
                Conv("branch7x7_2", width, WIDE),
                Conv("branch7x7_3", 192, TALL),
            )
        ),
        Branch(
            (
                Conv("branch7x7dbl_1", width),
                Conv("branch7x7dbl_2", width, TALL),
                Conv("branch7x7dbl_3", width, WIDE),
                Conv("branch7x7dbl_4", width, TALL),
                Conv("branch7x7dbl_5", 192, WIDE),
            )
        ),
        Branch((Conv("branch_pool", 192),), "average"),
    )


def _d() -> Branches:
    return (
        Branch((Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), 2))),
        Branch(
            (
                Conv("branch7x7x3_1", 192),
                Conv("branch7x7x3_2", 192, WIDE),
                Conv("branch7x7x3_3", 192, TALL),
                Conv("branch7x7x3_4", 192, (3, 3), 2),
            )
        ),
        Branch((), "max"),
    )


def _e() -> Branches:
    def both(name: str) -> tuple[Conv, ...]:
        return Conv(f"{name}a", 384, (1, 3)), Conv(f"{name}b", 384, (3, 1))

    return (
        Branch((Conv("branch1x1", 320),)),
        Branch((Conv("branch3x3_1", 384),), last=both("branch3x3_2")),
        Branch(
            (Conv("branch3x3dbl_1", 448), Conv("branch3x3dbl_2", 384, (3, 3))),
            last=both("branch3x3dbl_3"),
        ),
        Branch((Conv("branch_pool", 192),), "average"),
    )


STEM = (
    Conv("Conv2d_1a_3x3", 32, (3, 3), 2),
    Conv("Conv2d_2a_3x3", 32, (3, 3), valid=True),
    Conv("Conv2d_2b_3x3", 64, (3, 3)),
)
SECOND = (Conv("Conv2d_3b_1x1", 80), Conv("Conv2d_4a_3x3", 192, (3, 3), valid=True))
MIXED: dict[str, Branches] = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": _b(),
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": _d(),
    "Mixed_7b": _e(),
    "Mixed_7c": _e(),
}
