"""CIFAR-100's archive: read right, and refused with one line when it is not right."""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metalearn.data import cifar, load
from metalearn.data.splits import load_split
from metalearn.errors import UserError
from tests.archives import Members, write_tar

FACTS = cifar.Facts(train=2, test=1, moments=None)


def fine_names() -> list[str]:
    """The 100 classes of CIFAR-100, as listed in the split."""
    return sorted(name for names in load_split("cifar_fs").values() for name in names)


def make_members(seed: int = 0) -> Members:
    """An archive of 2 + 1 random images a class, in random order; class c belongs to superclass c
    // 5.
    """
    rng = np.random.default_rng(seed)
    coarse = sorted(name for names in load_split("fc100").values() for name in names)
    members = {
        "coarse_label_names.txt": "\n".join(coarse).encode() + b"\n",
        "fine_label_names.txt": "\n".join(fine_names()).encode() + b"\n",
    }
    for name, count in (("test", 1), ("train", 2)):
        records = np.random.default_rng(count).integers(
            0, 256, (100 * count, cifar.RECORD), np.uint8
        )
        records[:, 1] = np.arange(len(records)) % 100
        records[:, 0] = records[:, 1] // 5
        members[f"{name}.bin"] = rng.permutation(records).tobytes()
    return {f"{cifar.FOLDER}/{name}": data for name, data in members.items()}


def write(folder: Path, members: Members) -> Path:
    """The members as a .tar.gz below `folder`."""
    return write_tar(folder / cifar.ARCHIVE.name, members)


def patch_record(members: Members, byte: int, value: int) -> None:
    """Sets one byte of the first training record."""
    data = bytearray(members[f"{cifar.FOLDER}/train.bin"])
    data[byte] = value
    members[f"{cifar.FOLDER}/train.bin"] = bytes(data)


def test_cifar_images_are_channels_last_and_sorted_by_class(tmp_path: Path) -> None:
    members = make_members()
    data = cifar.read_cifar100(write(tmp_path, members), FACTS)
    assert data.images.shape == (100, 3, 32, 32, 3) and data.images.dtype == np.uint8
    records = np.frombuffer(members[f"{cifar.FOLDER}/test.bin"], np.uint8).reshape(100, -1)
    for record in records[:5]:
        image = np.stack(
            [record[2 + 1024 * c : 2 + 1024 * (c + 1)].reshape(32, 32) for c in range(3)], -1
        )
        assert any((image == candidate).all() for candidate in data.images[record[1]])


def test_cifar_does_not_depend_on_the_order_of_records(tmp_path: Path) -> None:
    one = cifar.read_cifar100(write(tmp_path, make_members(1)), FACTS).images
    two = cifar.read_cifar100(write(tmp_path, make_members(2)), FACTS).images
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("split", "sizes"), [("cifar_fs", (64, 16, 20)), ("fc100", (60, 20, 20))])
def test_cifar_fs_and_fc100_splits(tmp_path: Path, split: str, sizes: tuple[int, ...]) -> None:
    write(tmp_path, make_members())
    splits = cifar.read(tmp_path, split, FACTS)
    assert tuple(len(part.names) for part in splits.values()) == sizes
    assert sorted(name for part in splits.values() for name in part.names) == fine_names()
    for part in splits.values():
        assert part.images.shape == (3 * len(part.names), 32, 32, 3) and (part.counts == 3).all()
        assert list(part.names) == sorted(part.names)


def truncate(folder: Path) -> None:
    path = write(folder, make_members())
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(folder: Path) -> None:
    path = write(folder, make_members())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def flip_the_checksum(folder: Path) -> None:
    path = write(folder, make_members())
    data = bytearray(path.read_bytes())
    data[-6] ^= 4
    path.write_bytes(data)


def no_archive(folder: Path) -> None:
    (folder / cifar.ARCHIVE.name).write_bytes(b"<html>404</html>")


def edited(edit: Callable[[Members], object]) -> Callable[[Path], None]:
    """Writes an archive whose members went through `edit`."""

    def spoil(folder: Path) -> None:
        members = make_members()
        edit(members)
        write(folder, members)

    return spoil


SPOILT = {
    "truncated": (truncate, "end-of-stream"),
    "bit flip": (flip_a_bit, "damaged"),
    "checksum": (flip_the_checksum, "CRC"),
    "not gzip": (no_archive, "gzip"),
    "no labels": (
        edited(lambda m: m.pop(f"{cifar.FOLDER}/fine_label_names.txt")),
        "no .*fine_label_names.txt",
    ),
    "few labels": (
        edited(lambda m: m.update({f"{cifar.FOLDER}/coarse_label_names.txt": b"one\ntwo"})),
        "label names",
    ),
    "other labels": (
        edited(
            lambda m: m.update(
                {f"{cifar.FOLDER}/fine_label_names.txt": b"\n".join(b"c%d" % i for i in range(100))}
            )
        ),
        "no class called",
    ),
    "short file": (edited(lambda m: m.update({f"{cifar.FOLDER}/test.bin": b"0" * 99})), "bytes"),
    "fine label": (edited(lambda m: patch_record(m, 1, 100)), "out of range"),
    "coarse label": (edited(lambda m: patch_record(m, 0, 20)), "out of range"),
    "two parents": (edited(lambda m: patch_record(m, 0, 7)), "superclass"),
    "dot dot": (edited(lambda m: m.update({"../evil": b"x"})), "outside"),
    "absolute": (edited(lambda m: m.update({"/elsewhere/evil": b"x"})), "outside"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_error_for_a_damaged_cifar_archive_is_one_line(tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        cifar.read(tmp_path, "cifar_fs", FACTS)
    text = str(caught.value)
    assert "\n" not in text and str(tmp_path / cifar.ARCHIVE.name) in text and "delete it" in text
    assert list(tmp_path.parent.glob("evil")) == []


def test_cifar_with_wrong_counts_is_refused(tmp_path: Path) -> None:
    members = make_members()
    name = f"{cifar.FOLDER}/test.bin"
    members[name] = members[name][: 99 * cifar.RECORD] + members[name][: cifar.RECORD]
    write(tmp_path, members)
    with pytest.raises(UserError, match="1 images of each class"):
        cifar.read(tmp_path, "cifar_fs", FACTS)


def test_cifar_with_other_pixel_statistics_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, make_members())
    with pytest.raises(UserError, match="channel 0 has mean"):
        cifar.read_cifar100(path, FACTS._replace(moments=(cifar.MEAN, cifar.STD)))


def test_warning_of_another_digest_is_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, make_members())
    reader = cifar.cifar_fs._replace(read=partial(cifar.read, split="cifar_fs", facts=FACTS))
    monkeypatch.setattr(cifar, "cifar_fs", reader)
    with caplog.at_level(logging.WARNING):
        dataset = load("cifar_fs", tmp_path, tmp_path / "cache")
        load("cifar_fs", tmp_path, tmp_path / "cache")
    assert [record.getMessage().count("md5 differs") for record in caplog.records] == [1]
    assert dataset.name == "cifar_fs" and dataset.rotations == 1
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()][0].startswith(
        "cifar_fs-v1-"
    )


def test_real_cifar_archive(data_dir: Path, cache_dir: Path) -> None:
    dataset = load("cifar_fs", data_dir, cache_dir)
    assert [len(split.images) for split in dataset[1:4]] == [38400, 9600, 12000]
    assert all((split.counts == 600).all() for split in dataset[1:4])
    start = time.perf_counter()
    again = load("cifar_fs", data_dir, cache_dir)
    assert time.perf_counter() - start < 1
    np.testing.assert_allclose(again.mean, (0.5088, 0.4917, 0.4437), atol=1e-4)
    coarse = load("fc100", data_dir, cache_dir)
    assert [len(split.images) for split in coarse[1:4]] == [36000, 12000, 12000]
    assert {"baby", "boy", "girl", "man", "woman"} <= set(coarse.test.names)
