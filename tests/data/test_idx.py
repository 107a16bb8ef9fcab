"""MNIST's and Fashion-MNIST's IDX files: read right, and refused with one line when damaged."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalearn.data import idx, load
from metalearn.data.labelled import Facts
from metalearn.errors import UserError

FACTS = Facts((3,) * 10, (2,) * 10, None)


def write_idx(path: Path, values: np.ndarray) -> None:
    """The array as a compressed IDX file."""
    head = struct.pack(f">{1 + values.ndim}I", 0x0800 | values.ndim, *values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes()))


def write(folder: Path, order: int = 0) -> list[Path]:
    """The four files, each image filled with ten times its label and a number, in random order."""
    folder.mkdir(exist_ok=True)
    paths = [folder / part for part in idx.PARTS]
    for count, images, labels in ((3, *paths[:2]), (2, *paths[2:])):
        mixed = np.random.default_rng(order).permutation(10 * count).astype(np.uint8)
        pixels = mixed // count * 10 + mixed % count
        write_idx(images, np.tile(pixels[:, None, None], (1, 28, 28)))
        write_idx(labels, mixed // count)
    return paths


def read(folder: Path, facts: Facts = FACTS) -> dict[str, idx.Split]:
    return idx.read(folder, "mnist", idx.DIGITS, facts)


def test_images_are_sorted_by_class_and_a_tenth_is_for_validation(tmp_path: Path) -> None:
    write(tmp_path / "mnist")
    splits = read(tmp_path)
    sizes = {"train": 2, "valid": 1, "test": 2}
    for name, split in splits.items():
        assert split.images.shape == (10 * sizes[name], 28, 28, 1) and split.names == idx.DIGITS
        assert split.counts.tolist() == [sizes[name]] * 10
        values = split.images[:, 0, 0, 0]
        assert (values // 10 == np.repeat(np.arange(10), sizes[name])).all()
    train, valid = (set(splits[name].images[:, 3, 3, 0].tolist()) for name in ("train", "valid"))
    assert not train & valid and len(train | valid) == 30


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "mnist")
    first = read(tmp_path)
    write(tmp_path / "mnist", order=1)
    second = read(tmp_path)
    assert all((first[name].images == second[name].images).all() for name in first)


def shorten(paths: list[Path]) -> None:
    paths[0].write_bytes(paths[0].read_bytes()[:-20])


def swap(paths: list[Path]) -> None:
    data = paths[0].read_bytes()
    paths[0].write_bytes(paths[1].read_bytes())
    paths[1].write_bytes(data)


def resize(paths: list[Path]) -> None:
    write_idx(paths[0], np.zeros((30, 14, 56), np.uint8))


def cut(paths: list[Path]) -> None:
    paths[1].write_bytes(gzip.compress(gzip.decompress(paths[1].read_bytes())[:-1]))


def lose_a_label(paths: list[Path]) -> None:
    write_idx(paths[1], np.zeros(29, np.uint8))


def eleven(paths: list[Path]) -> None:
    write_idx(paths[1], np.repeat(np.arange(1, 11, dtype=np.uint8), 3))


def other_counts(paths: list[Path]) -> None:
    write_idx(paths[1], np.repeat(np.arange(10, dtype=np.uint8), [4, 2] + [3] * 8))


SPOILT: dict[str, tuple[Callable[[list[Path]], None], str]] = {
    "truncated": (shorten, "end-of-stream"),
    "images for labels": (swap, "magic number 0x00000801, not 0x00000803"),
    "another size": (resize, "images of 14 x 56 pixels, not 28 x 28"),
    "a byte short": (cut, "37 bytes, not 38"),
    "labels missing": (lose_a_label, "29 labels for 30 images"),
    "label out of range": (eleven, "a label is 10, the largest is 9"),
    "other counts": (other_counts, "train has 4 images of a class, not 3"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_error_for_a_damaged_file_is_one_line(tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(write(tmp_path / "mnist"))
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path / "mnist") in str(caught.value)


def test_other_pixels_than_the_published_ones_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "mnist")
    with pytest.raises(UserError, match="training pixels have mean"):
        read(tmp_path, FACTS._replace(moments=idx.MNIST.moments))


def test_real_mnist(data_dir: Path, cache_dir: Path) -> None:
    if not (data_dir / "mnist" / idx.PARTS[0]).is_file():
        pytest.skip(f"no mnist in {data_dir}")
    dataset = load("mnist", data_dir, cache_dir)
    assert dataset.shared and dataset.train.names == tuple("0123456789")
    assert (dataset.train.counts + dataset.valid.counts).tolist() == list(idx.MNIST.train)
    assert dataset.test.counts.tolist() == list(idx.MNIST.test)
    assert len(dataset.train.images) + len(dataset.valid.images) == 60_000
    np.testing.assert_allclose((dataset.mean[0], dataset.std[0]), (0.1307, 0.3081), atol=1e-3)
