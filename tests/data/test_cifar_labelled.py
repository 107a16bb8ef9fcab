"""CIFAR-10 and CIFAR-100 by their published training and test images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalearn.data import cifar, cifar_labelled, load
from metalearn.data.labelled import Facts
from metalearn.errors import UserError
from tests.archives import Members, write_tar
from tests.data.test_cifar import fine_names
from tests.data.test_cifar import make_members as make_cifar100
from tests.data.test_cifar import write as write_cifar100

FACTS = Facts((5,) * 10, (2,) * 10, None)


def make_members(order: int = 0) -> Members:
    """Five batches of one image a class and a test batch of two, each in random order."""
    members = {"batches.meta.txt": "\n".join(cifar_labelled.NAMES).encode() + b"\n\n"}
    for number, (name, count) in enumerate([(n, 1) for n in cifar_labelled.TRAIN] + [("", 2)]):
        random = np.random.default_rng(number)
        records = random.integers(0, 256, (10 * count, cifar_labelled.RECORD), np.uint8)
        records[:, 0] = np.arange(len(records)) % 10
        mixed = np.random.default_rng(order).permutation(records)
        members[name or cifar_labelled.TEST] = mixed.tobytes()
    return {f"{cifar_labelled.FOLDER}/{name}": data for name, data in members.items()}


def write(folder: Path, members: Members) -> Path:
    """The members as the official archive."""
    return write_tar(folder / cifar_labelled.ARCHIVE.name, members)


def test_cifar10_images_are_channels_last_and_sorted_by_class(tmp_path: Path) -> None:
    members = make_members()
    write(tmp_path, members)
    splits = cifar_labelled.read_cifar10(tmp_path, FACTS)
    assert splits.shared and not splits.by_seed
    for name, count in (("train", 4), ("valid", 1), ("test", 2)):
        assert splits[name].names == cifar_labelled.NAMES
        assert splits[name].counts.tolist() == [count] * 10
        assert splits[name].images.shape == (10 * count, 32, 32, 3)
    data = members[f"{cifar_labelled.FOLDER}/{cifar_labelled.TEST}"]
    for record in np.frombuffer(data, np.uint8).reshape(20, -1):
        planes = [record[1 + 1024 * c : 1 + 1024 * (c + 1)].reshape(32, 32) for c in range(3)]
        of_class = splits["test"].images[2 * record[0] : 2 * record[0] + 2]
        assert (of_class == np.stack(planes, -1)).all(axis=(1, 2, 3)).sum() == 1


def test_cifar10_does_not_depend_on_the_order_of_records(tmp_path: Path) -> None:
    write(tmp_path, make_members(1))
    first = cifar_labelled.read_cifar10(tmp_path, FACTS)
    write(tmp_path, make_members(2))
    second = cifar_labelled.read_cifar10(tmp_path, FACTS)
    assert all((first[name].images == second[name].images).all() for name in first)


def edited(name: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Writes an archive with one of its members changed."""

    def spoil(folder: Path) -> None:
        members = make_members()
        key = f"{cifar_labelled.FOLDER}/{name}"
        write(folder, members | {key: edit(members[key])})

    return spoil


def truncate(folder: Path) -> None:
    path = write(folder, make_members())
    path.write_bytes(path.read_bytes()[:-1000])


def lose_a_batch(folder: Path) -> None:
    members = make_members()
    del members[f"{cifar_labelled.FOLDER}/data_batch_3.bin"]
    write(folder, members)


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, "end-of-stream"),
    "no batch": (lose_a_batch, "no .*data_batch_3.bin in it"),
    "short": (edited("test_batch.bin", lambda data: data[:-1]), "no whole number of images"),
    "few": (edited("test_batch.bin", lambda data: data[:-3073]), "test has 1 images of a class"),
    "label": (edited("data_batch_1.bin", lambda data: b"\x0a" + data[1:]), "a label is 10"),
    "names": (edited("batches.meta.txt", lambda data: b"cat\ndog"), "classes are cat, dog, not"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_error_for_a_damaged_archive_is_one_line(tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        cifar_labelled.read_cifar10(tmp_path, FACTS)
    text = str(caught.value)
    assert "\n" not in text and str(tmp_path / cifar_labelled.ARCHIVE.name) in text


def test_other_pixels_than_cifar10s_are_refused(tmp_path: Path) -> None:
    write(tmp_path, make_members())
    with pytest.raises(UserError, match="training pixels have mean"):
        cifar_labelled.read_cifar10(tmp_path, FACTS._replace(moments=cifar_labelled.FACTS.moments))


def test_cifar100_keeps_its_test_images_apart(tmp_path: Path) -> None:
    members = make_cifar100()
    write_cifar100(tmp_path, members)
    facts = cifar.Facts(train=2, test=1, moments=None)
    splits = cifar_labelled.read_cifar100(tmp_path, facts)
    assert splits.shared
    for split in splits.values():
        assert split.names == tuple(fine_names()) and split.counts.tolist() == [1] * 100
    records = np.frombuffer(members[f"{cifar.FOLDER}/test.bin"], np.uint8).reshape(100, -1)
    ordered = records[np.argsort(records[:, 1]), 2:].reshape(100, 3, 32, 32)
    assert (splits["test"].images == ordered.transpose(0, 2, 3, 1)).all()


def test_real_cifar10(data_dir: Path, cache_dir: Path) -> None:
    if not (data_dir / cifar_labelled.ARCHIVE.name).is_file():
        pytest.skip(f"no {cifar_labelled.ARCHIVE.name} in {data_dir}")
    dataset = load("cifar10", data_dir, cache_dir)
    assert [set(split.counts.tolist()) for split in dataset[1:4]] == [{4500}, {500}, {1000}]


def test_real_cifar100(data_dir: Path, cache_dir: Path) -> None:
    if not (data_dir / cifar.ARCHIVE.name).is_file():
        pytest.skip(f"no {cifar.ARCHIVE.name} in {data_dir}")
    dataset = load("cifar100", data_dir, cache_dir)
    assert dataset.shared and len(dataset.train.names) == 100
    assert {"apple", "worm", "lawn_mower"} <= set(dataset.train.names)
    assert [set(split.counts.tolist()) for split in dataset[1:4]] == [{450}, {50}, {100}]
    np.testing.assert_allclose(dataset.mean, cifar.MEAN, atol=2e-3)
    np.testing.assert_allclose(dataset.std, cifar.STD, atol=2e-3)
