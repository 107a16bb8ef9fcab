"""USPS, as LIBSVM's site has it or as arrays: the same images by either way."""

import bz2
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalearn.data import load, usps
from metalearn.data.labelled import Facts
from metalearn.errors import UserError

FACTS = Facts((3,) * 10, (1,) * 10, None)


def made(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images, of each label so many, and their labels."""
    images = np.random.default_rng(seed).integers(0, 256, (10 * count, 16, 16, 1), np.uint8)
    return images, np.repeat(np.arange(10), count)


def libsvm(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Lines of label and `index:value`, without values of 0 as sparse files are."""
    lines = []
    for image, label in zip(images, labels, strict=True):
        values = [f"{value / 127.5 - 1:.6f}" for value in image.ravel().tolist()]
        pairs = [f"{i}:{value}" for i, value in enumerate(values, 1) if float(value)]
        lines.append(f"{label + 1} {' '.join(pairs)}\n")
    return bz2.compress("".join(lines).encode())


def write_libsvm(folder: Path) -> None:
    for file, part in zip(usps.FILES, (made(3, 0), made(1, 1)), strict=True):
        (folder / file.name).write_bytes(libsvm(*part))


def write_arrays(folder: Path, **changes: np.ndarray) -> None:
    train, test = made(3, 0), made(1, 1)
    arrays = {
        "train_images": train[0],
        "train_labels": train[1],
        "test_images": test[0],
        "test_labels": test[1],
    }
    np.savez_compressed(folder / usps.ARRAYS, **(arrays | changes))


def test_both_forms_give_the_same_images(tmp_path: Path) -> None:
    for name, write in (("lines", write_libsvm), ("arrays", write_arrays)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    lines, arrays = (usps.read(tmp_path / name, FACTS) for name in ("lines", "arrays"))
    for name, count in (("train", 2), ("valid", 1), ("test", 1)):
        assert (lines[name].images == arrays[name].images).all()
        assert lines[name].images.shape == (10 * count, 16, 16, 1)
        assert lines[name].counts.tolist() == [count] * 10
    assert lines.shared


def test_values_become_bytes_and_missing_ones_are_zero(tmp_path: Path) -> None:
    path = tmp_path / "usps.bz2"
    path.write_bytes(bz2.compress(b"10 1:-1.0 2:1.0 256:0.5\n1 1:0.004\n"))
    split = usps.read_libsvm(path)
    assert split.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    first, last = split.images.reshape(2, 256)
    assert last[:3].tolist() == [0, 255, 128] and last[255] == 191 and first[0] == 128


def shorten(folder: Path) -> None:
    write_libsvm(folder)
    path = folder / "usps.bz2"
    path.write_bytes(path.read_bytes()[:-50])


def lines(text: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_libsvm(folder)
        (folder / "usps.bz2").write_bytes(bz2.compress(text))

    return write


def objects(folder: Path) -> None:
    write_arrays(folder, train_images=np.array([None] * 30))


def squares(folder: Path) -> None:
    write_arrays(folder, train_images=np.zeros((30, 8, 32, 1), np.uint8))


def negative(folder: Path) -> None:
    write_arrays(folder, train_labels=np.repeat(np.arange(-1, 9), 3))


def labels_of(labels: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: write_arrays(folder, train_labels=labels)


def not_a_zip(folder: Path) -> None:
    (folder / usps.ARRAYS).write_bytes(b"<html>404</html>")


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (shorten, "usps.bz2 is damaged"),
    "index": (lines(b"1 257:0.5\n"), "index 257, they go from 1 to 256"),
    "value": (lines(b"1 1:1.5\n"), "a value is not within -1 and 1"),
    "not a number": (lines(b"1 1:nan\n"), "a value is not within -1 and 1"),
    "words": (lines(b"one 1:0.5\n"), "could not convert"),
    "label": (lines(b"11 1:0.5\n"), "a label is not one of ten"),
    "counts": (lines(b"1 1:0.5\n"), "train has 1 images of a class, not 3"),
    "pickled": (objects, "usps.npz is damaged"),
    "shape": (squares, r"train_images are uint8 \[30, 8, 32, 1\]"),
    "negative label": (negative, "a label is not one of ten"),
    "infinite label": (lines(b"inf 1:0.5\n"), "cannot convert float infinity"),
    "labels of fractions": (labels_of(made(3, 0)[1] + 0.5), r"train_labels are float64 \[30\]"),
    "labels of two axes": (labels_of(made(3, 0)[1][:, None]), r"train_labels are int64 \[30, 1\]"),
    "one label": (labels_of(np.array(1)), r"train_labels are int64 \[\]"),
    "not a zip": (not_a_zip, "usps.npz is damaged"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_error_for_a_damaged_file_is_one_line(tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        usps.read(tmp_path, FACTS)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_real_usps(data_dir: Path, cache_dir: Path) -> None:
    if not (data_dir / usps.ARRAYS).is_file():
        pytest.skip(f"no {usps.ARRAYS} in {data_dir}")
    dataset = load("usps", data_dir, cache_dir)
    assert dataset.shared and dataset.train.images.shape[1:] == (16, 16, 1)
    assert (dataset.train.counts + dataset.valid.counts).tolist() == list(usps.FACTS.train)
    assert dataset.test.counts.tolist() == list(usps.FACTS.test)
    np.testing.assert_allclose((dataset.mean[0], dataset.std[0]), (0.2545, 0.3846), atol=2e-3)
