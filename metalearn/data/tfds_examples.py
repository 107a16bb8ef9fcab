"""A dataset of TensorFlow Datasets, prepared where it is not, and its encoded images by class."""

import difflib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.errors import UserError

MODES = {1: "L", 3: "RGB", 4: "RGB", None: "RGB"}  # channels -> Pillow's mode, without alpha

Classes = dict[int, list[bytes]]  # label -> its encoded images, in the order of the files


def prepared(name: str, folder: Path) -> Any:
    """The `tfds.core.DatasetBuilder` of `name`, prepared below `folder`.

    Raises:
      UserError: unknown name, or a dataset that cannot be prepared here.
    """
    try:
        import tensorflow_datasets as tfds

        from metalearn.data import tfds_builders  # noqa: F401, registers ours
    except ImportError as error:
        raise UserError(
            f"tfds:{name} needs tensorflow-datasets ({error}): pip install tensorflow-datasets"
        ) from error
    try:
        builder = tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError as error:
        close = difflib.get_close_matches(
            name, tfds.list_builders(with_community_datasets=False), 1
        )
        hint = f"did you mean tfds:{close[0]}?" if close else f"nor is it prepared in {folder}."
        raise UserError(f"TensorFlow Datasets has no dataset {name!r}; {hint}") from error
    except (
        Exception
    ) as error:  # a wrong configuration or version, in as many ways as there are datasets
        raise UserError(f"tfds:{name} cannot be opened: {one_line(error)}") from error
    if not builder.is_prepared():
        _prepare(builder, name, folder)
    return builder


def _prepare(builder: Any, name: str, folder: Path) -> None:
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = 4  # not 10: without a network their growing pauses take minutes
    try:
        builder.download_and_prepare(file_format="array_record")
    except UserError:
        raise
    except Exception as error:  # whatever the dataset's own code raises
        needs = "pip install tensorflow" if "tensorflow" in one_line(error) else "fix that"
        raise UserError(
            f"tfds:{name} is not in {folder} and could not be prepared ({one_line(error)}): "
            f"{needs}, or put it there as download_and_prepare(file_format='array_record') writes "
            "it on another machine."
        ) from error


def one_line(error: BaseException) -> str:
    """The error as one short line; a network error, whose own message is long, by its name."""
    text = (error.strerror or "") if isinstance(error, OSError) else " ".join(str(error).split())
    text = text.rpartition('}": ')[2]  # without TFDS's account of its own arguments
    text = text or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def feature_keys(builder: Any, name: str) -> tuple[str, str]:
    """The names of the features that hold the image and the label.

    Raises:
      UserError: there is no 8-bit image with one class label.
    """
    import tensorflow_datasets as tfds

    image, label = "image", "label"
    if len(builder.info.supervised_keys or ()) == 2:
        image, label = builder.info.supervised_keys
    features = dict(builder.info.features.items())
    kinds = {image: tfds.features.Image, label: tfds.features.ClassLabel}
    if all(isinstance(features.get(key), kind) for key, kind in kinds.items()):
        if features[image].np_dtype == np.uint8 and features[image].shape[-1] in MODES:
            return image, label
    raise UserError(
        f"tfds:{name} has no 8-bit images with one class label each, but "
        f"{', '.join(sorted(features))}."
    )


def encoded_images(builder: Any, name: str, split: str) -> Classes:
    """The encoded images of one split by label; images without a label (-1) are left out.

    Raises:
      UserError: as `feature_keys`, or files that cannot be read.
    """
    import tensorflow_datasets as tfds

    image_key, label_key = feature_keys(builder, name)
    classes: Classes = {}
    for example in _examples(builder, name, split, {image_key: tfds.decode.SkipDecoding()}):
        if (label := int(example[label_key])) >= 0:
            classes.setdefault(label, []).append(example[image_key])
    return classes


def _examples(
    builder: Any, name: str, split: str, decoders: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The examples of one split, read without TensorFlow.

    Raises:
      UserError: the files are in another format.
    """
    import tensorflow_datasets as tfds

    formats = builder.info.available_file_formats()
    if formats & {tfds.core.FileFormat.ARRAY_RECORD, tfds.core.FileFormat.PARQUET}:
        yield from builder.as_data_source(split, decoders=decoders)
    elif tfds.core.FileFormat.TFRECORD in formats:
        for path in builder.info.splits[split].filepaths:
            for record in _tfrecords(Path(path)):
                yield builder.info.features.deserialize_example_np(record, decoders=decoders)
    else:
        raise UserError(
            f"{builder.data_dir} is in a format that is not read here: prepare tfds:{name} again, "
            "with download_and_prepare(file_format='array_record')."
        )


def _tfrecords(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file, read without TensorFlow.

    Each is 8 bytes of length, 4 of checksum, the record, 4 of checksum; checksums are not verified.
    """
    with open(path, "rb") as stream:
        while header := stream.read(12):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else 0
            record = stream.read(length + 4)
            if len(header) < 12 or len(record) < length + 4:
                raise UserError(
                    f"{path} is cut short: delete its folder and prepare the dataset again."
                )
            yield record[:-4]
