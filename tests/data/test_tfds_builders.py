"""Our datasets as TFDS: prepared and read without TensorFlow, the same images, labels and splits as
ours.
"""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from metalearn.data.source import Reader, RemoteFile, Split

tfds = pytest.importorskip("tensorflow_datasets")
tfds_builders = pytest.importorskip("metalearn.data.tfds_builders")
SHAPES = {"cifar_fs": (32, 32, 3), "fc100": (32, 32, 3), "omniglot_vinyals": (28, 28, 1)}
CLASSES = {
    "cifar_fs": tfds_builders.CifarFs,
    "fc100": tfds_builders.Fc100,
    "omniglot_vinyals": tfds_builders.OmniglotVinyals,
}
TFDS_SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def tiny_splits(shape: tuple[int, int, int]) -> dict[str, Split]:
    """Random images, classes of different sizes."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, counts in {"train": (3, 2, 4), "valid": (2, 1), "test": (5, 2)}.items():
        images = rng.integers(0, 256, (sum(counts), *shape), np.uint8)
        names = tuple(f"{split}/{index}" for index in range(len(counts)))
        splits[split] = Split(images, np.array(counts, np.int32), names)
    return splits


def tiny_reader(splits: dict[str, Split], files: tuple[RemoteFile, ...] = ()) -> Reader:
    """Stands in for a dataset's own reader."""
    return Reader(lambda folder: splits, files, 1, 1, lambda folder: "")


def assert_same(prepared: dict, info: tfds.core.DatasetInfo, splits: dict[str, Split]) -> None:
    """Every example of `prepared` (a TFDS data source per split) is that of `splits`."""
    for split in splits:
        tfds_split = TFDS_SPLITS[split]
        examples = list(prepared[tfds_split])
        np.testing.assert_array_equal(
            [example["image"] for example in examples], splits[split].images
        )
        names = [info.features["label"].int2str(example["label"]) for example in examples]
        assert names == np.repeat(splits[split].names, splits[split].counts).tolist()


@pytest.mark.parametrize("name", SHAPES)
def test_builders_prepare_and_read_without_tensorflow(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = tiny_splits(SHAPES[name])
    monkeypatch.setattr(CLASSES[name], "reader", tiny_reader(splits))
    prepared = tfds.data_source(name, data_dir=tmp_path)
    info = tfds.builder(name, data_dir=tmp_path).info
    assert set(prepared) == {"train", "validation", "test"}
    assert info.file_format == tfds.core.FileFormat.ARRAY_RECORD
    assert_same(prepared, info, splits)
    assert "tensorflow" not in sys.modules


def test_builders_write_array_record_by_default_and_other_formats(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(tfds_builders.CifarFs, "reader", tiny_reader(tiny_splits((32, 32, 3))))
    for file_format, expected in ((None, "array_record"), ("parquet", "parquet")):
        builder = tfds.builder("cifar_fs", data_dir=tmp_path / expected, file_format=file_format)
        builder.download_and_prepare()
        assert list((tmp_path / expected).rglob(f"cifar_fs-train.{expected}-*"))


@pytest.mark.parametrize("place", ["manual", ".", "downloads"])
def test_builders_find_official_archives(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_from = []
    reader = tiny_reader(
        tiny_splits((32, 32, 3)), (RemoteFile("archive", "http://localhost:9/archive", "md5:0"),)
    )
    reader = reader._replace(
        read=lambda folder: read_from.append(folder) or tiny_splits((32, 32, 3))
    )
    monkeypatch.setattr(tfds_builders.CifarFs, "reader", reader)
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "archive").touch()
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    tfds.builder("cifar_fs", data_dir=tmp_path).download_and_prepare(download_config=config)
    assert read_from == [tmp_path / place]


def test_builder_of_real_omniglot(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = tfds_builders.OmniglotVinyals.reader
    reader = reader._replace(read=functools.cache(reader.read))
    monkeypatch.setattr(tfds_builders.OmniglotVinyals, "reader", reader)
    config = tfds.download.DownloadConfig(manual_dir=data_dir)
    kwargs = {"download_config": config}
    prepared = tfds.data_source(
        "omniglot_vinyals", data_dir=tmp_path, download_and_prepare_kwargs=kwargs
    )
    assert {split: len(source) for split, source in prepared.items()} == {
        "train": 20 * 1028,
        "validation": 20 * 172,
        "test": 20 * 423,
    }
    info = tfds.builder("omniglot_vinyals", data_dir=tmp_path).info
    assert len(set(info.features["label"].names)) == 1623
    assert_same(prepared, info, {"valid": reader.read(data_dir)["valid"]})
