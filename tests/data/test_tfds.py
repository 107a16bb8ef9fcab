"""`tfds:NAME`: any prepared TFDS dataset, in whichever format, becomes three splits of classes."""

import io
import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import metalearn.data
from metalearn.data.tfds import decode, reader
from metalearn.errors import UserError

tfds = pytest.importorskip("tensorflow_datasets")
Example = tuple[tuple[int, int], int, int]  # size, label (-1: none), brightness


class Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset of plain images. What tests prepare of it is read from its files: TFDS does not
    know it.
    """

    name = "toy"
    VERSION = tfds.core.Version("1.0.0")
    shape: tuple[int | None, int | None, int] = (None, None, 3)
    stored = 0  # channels of the files, if others than of the shape
    features: dict[str, Any] = {}
    splits: dict[str, list[Example]] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        features = self.features or {
            "image": tfds.features.Image(shape=self.shape),
            "label": tfds.features.ClassLabel(names=[f"class {index}" for index in range(25)]),
        }
        keys = None if self.features else ("image", "label")
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=keys,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(examples) for name, examples in self.splits.items()}

    def _generate_examples(self, examples: list[Example]) -> Iterator[tuple[str, dict[str, Any]]]:
        for index, (size, label, brightness) in enumerate(examples):
            png = io.BytesIO()
            colour = (brightness, label % 256, 7)
            kinds = {1: ("L", brightness), 3: ("RGB", colour), 4: ("RGBA", (*colour, 0))}
            mode, value = kinds[self.stored or self.shape[-1]]
            Image.new(mode, size, value).save(png, "PNG")
            png.seek(0)
            yield f"{index:04d}", {"image": png, "label": label}


def prepare(folder: Path, file_format: str = "array_record", **attributes: Any) -> Path:
    """Writes a dataset `toy` below `folder`."""
    toy = type(
        "Toy", (Toy,), {**attributes, "__module__": __name__, "name": "toy"}, skip_registration=True
    )
    toy(data_dir=folder, file_format=file_format).download_and_prepare()
    return folder


def of_classes(
    labels: range, per_class: int = 2, size: tuple[int, int] = (8, 6), brightness: int = 0
) -> list[Example]:
    return [(size, label, brightness + index) for label in labels for index in range(per_class)]


def brightness_of(split: metalearn.data.Split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("file_format", ["array_record", "parquet"])
def test_tfds_classes_are_split_by_seed(tmp_path: Path, file_format: str) -> None:
    examples = {"train": of_classes(range(25)), "test": of_classes(range(25), 1, brightness=100)}
    prepare(tmp_path, file_format, shape=(6, 8, 3), splits=examples)
    splits = reader("toy").read(tmp_path)
    assert {split: len(found.counts) for split, found in splits.items()} == {
        "train": 16,
        "valid": 4,
        "test": 5,
    }
    assert Counter(name for found in splits.values() for name in found.names) == {
        f"class {i}": 1 for i in range(25)
    }
    for found in splits.values():
        assert (
            found.images.shape == (3 * len(found.counts), 6, 8, 3)
            and found.images.dtype == np.uint8
        )
        assert brightness_of(found) == [0, 1, 100] * len(found.counts)  # all TFDS splits are pooled
        assert found.images[::3, 0, 0, 1].tolist() == [
            int(name.removeprefix("class ")) for name in found.names
        ]
    assert reader("toy", seed=0).read(tmp_path)["test"].names == splits["test"].names
    assert reader("toy", seed=1).read(tmp_path)["test"].names != splits["test"].names


def test_tfds_images_in_several_splits_count_once(tmp_path: Path) -> None:
    prepare(tmp_path, splits={"train": of_classes(range(3), 4), "small": of_classes(range(3), 2)})
    assert [found.counts.tolist() for found in reader("toy").read(tmp_path).values()] == [[4]] * 3


def test_tfds_splits_without_a_common_class_are_kept(tmp_path: Path) -> None:
    examples = {
        "test": of_classes(range(7, 9)),
        "train": of_classes(range(2)) + of_classes(range(2)),
        "validation": of_classes(range(4, 7)),
    }
    prepare(tmp_path, splits=examples)
    splits = reader("toy", seed=5).read(tmp_path)
    assert {split: found.names for split, found in splits.items()} == {
        "train": ("class 0", "class 1"),
        "valid": ("class 4", "class 5", "class 6"),
        "test": ("class 7", "class 8"),
    }
    assert splits["train"].counts.tolist() == [4, 4]  # as they are: with their duplicates


def test_tfds_images_of_several_sizes_are_resized(tmp_path: Path) -> None:
    prepare(
        tmp_path, splits={"train": of_classes(range(3)) + of_classes(range(3), 1, (20, 30), 50)}
    )
    assert reader("toy").read(tmp_path)["train"].images.shape == (3, 84, 84, 3)
    assert reader("toy", image_size=10).read(tmp_path)["train"].images.shape == (3, 10, 10, 3)
    assert brightness_of(reader("toy", image_size=10).read(tmp_path)["train"]) == [0, 1, 50]


def test_tfds_images_of_formats_that_run_programs_are_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "EPS")
    with pytest.raises(UserError, match="labelled_tfds:toy: an image does not decode"):
        decode([file.getvalue()], (8, 8), "RGB", "labelled_tfds:toy")


def test_tfds_grey_images_stay_grey_and_unlabelled_ones_are_left_out(tmp_path: Path) -> None:
    examples = of_classes(range(3)) + [((8, 6), -1, 9)]
    prepare(tmp_path, shape=(6, 8, 1), splits={"train": examples})
    assert [found.images.shape for found in reader("toy").read(tmp_path).values()] == [
        (2, 6, 8, 1)
    ] * 3


@pytest.mark.parametrize(("channels", "stored"), [(4, 4), (3, 4)])
def test_tfds_transparent_images_are_laid_on_white_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], channels: int, stored: int
) -> None:
    shape = (6, 8, channels)
    prepare(tmp_path, shape=shape, stored=stored, splits={"train": of_classes(range(6), 1)})
    dataset = metalearn.data.load("tfds:toy", tmp_path, tmp_path / "cache")
    assert dataset.train.images.shape == (2, 6, 8, 3) and (dataset.train.images == 255).all()
    assert "note: 6 of 6 images are transparent in places" in capsys.readouterr().err
    assert dataset.by_seed and dataset.decoder == ""


def write_tfrecord(folder: Path) -> Path:
    """Turns what `prepare` wrote into a dataset in tfrecord format, as TensorFlow writes it but for
    the checksums.
    """
    builder = tfds.builder("toy", data_dir=folder)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    path = Path(builder.data_dir) / "toy-train.tfrecord-00000-of-00001"
    with open(path, "wb") as stream:
        for record in builder.as_data_source("train", deserialize_method=raw):
            stream.write(struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0))
    info = path.with_name("dataset_info.json")
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    for old in path.parent.glob("*.array_record*"):
        old.unlink()
    return path


def test_tfrecord_is_read_without_tensorflow(tmp_path: Path) -> None:
    prepare(tmp_path, splits={"train": of_classes(range(5))})
    before = reader("toy", image_size=8).read(tmp_path)
    path = write_tfrecord(tmp_path)
    after = reader("toy", image_size=8).read(tmp_path)
    for split, found in before.items():
        np.testing.assert_array_equal(found.images, after[split].images)
        assert found.names == after[split].names
    assert "tensorflow" not in sys.modules
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is cut short"):
        reader("toy").read(tmp_path)


def test_tfds_fingerprint_depends_on_files_and_options(tmp_path: Path) -> None:
    prepare(tmp_path / "one", splits={"train": of_classes(range(5))})
    prepare(tmp_path / "two", splits={"train": of_classes(range(5))})
    found = [
        reader("toy", *options).fingerprint(tmp_path / "one") for options in ((), (1,), (0, 10))
    ]
    found += [reader("toy").fingerprint(tmp_path / "two")]
    assert len(set(found)) == 4 and found[0] == reader("toy").fingerprint(tmp_path / "one")


def test_tfds_dataset_is_prepared_once(tmp_path: Path) -> None:
    prepare(tmp_path, shape=(6, 8, 3), splits={"train": of_classes(range(5))})
    dataset = metalearn.data.load("tfds:toy", tmp_path, tmp_path / "cache")
    assert dataset.name == "tfds:toy" and len(dataset.train.counts) == 3 and dataset.rotations == 1
    assert isinstance(dataset.train.images, np.memmap)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_dataset_at_all", "TensorFlow Datasets has no dataset 'no_such_dataset_at_all'"),
        ("mnst", "did you mean tfds:mnist?"),
        ("mnist/inverted", "BuilderConfig inverted not found"),
    ],
)
def test_error_for_unknown_tfds_names_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        reader(name).read(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("an essay\nof many lines"), r"could not be prepared \(ConnectionError\)"),
        (ModuleNotFoundError("No module named 'tensorflow'"), "pip install tensorflow"),
        (AssertionError("put it\nby hand"), r"\(put it by hand\)"),
    ],
)
def test_error_for_tfds_preparation_is_one_line(
    tmp_path: Path, monkeypatch: Any, error: Exception, message: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match=message) as caught:
        reader("mnist").fingerprint(tmp_path)
    assert "\n" not in str(caught.value) and "file_format='array_record'" in str(caught.value)


def test_error_for_tfds_data_without_images_of_classes_is_one_line(tmp_path: Path) -> None:
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.Scalar(np.int32),
    }
    prepare(tmp_path, features=features, splits={"train": of_classes(range(3))})
    with pytest.raises(
        UserError, match="tfds:toy has no 8-bit images with one class label each, but image, label"
    ):
        reader("toy").read(tmp_path)


def test_error_for_too_few_tfds_classes_is_one_line(tmp_path: Path) -> None:
    prepare(tmp_path, splits={"train": of_classes(range(2))})
    with pytest.raises(UserError, match="tfds:toy has 2 classes; it takes 6 or more"):
        reader("toy").read(tmp_path)


def test_importing_the_library_imports_no_tfds() -> None:
    code = (
        "import sys, metalearn.data, metalearn.data.tfds; "
        "print([name for name in ('tensorflow_datasets', 'tensorflow', 'tensorboardX') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
