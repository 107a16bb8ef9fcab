"""One TFDS builder per dataset, from the readers that the library itself uses."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from metalearn.data import cifar, omniglot
from metalearn.data.download import fetch
from metalearn.data.source import Reader, Split

TFDS_SPLITS = {"train": "train", "validation": "valid", "test": "test"}


class FewShotBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A dataset of disjoint classes from a `Reader`, stored as PNG, by default in array_record."""

    VERSION = tfds.core.Version("1.0.0")
    reader: ClassVar[Reader]
    shape: ClassVar[tuple[int, int, int]]
    about: ClassVar[str]  # description, homepage and citation of the dataset's info
    homepage: ClassVar[str]
    citation: ClassVar[str]

    def __init__(self, *, file_format: Any = None, **kwargs: Any) -> None:
        super().__init__(file_format=file_format or "array_record", **kwargs)

    @property
    def MANUAL_DOWNLOAD_INSTRUCTIONS(self) -> str:
        """What TFDS says of `manual_dir`."""
        return "Only where they cannot be downloaded: " + ", ".join(
            file.url for file in self.reader.files
        )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=self.shape),
            "label": tfds.features.ClassLabel(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.about,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage=self.homepage,
            citation=self.citation,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        splits = self.reader.read(self._archives(dl_manager))
        self.info.features["label"].names = [
            name for split in TFDS_SPLITS.values() for name in splits[split].names
        ]
        return {name: self._generate_examples(splits[split]) for name, split in TFDS_SPLITS.items()}

    def _archives(self, dl_manager: tfds.download.DownloadManager) -> Path:
        """The folder with the official files: one that has them all, else that of downloads."""
        download_dir = Path(dl_manager.download_dir)
        folders = [download_dir, Path(self.data_dir_root)]
        try:
            folders.insert(0, Path(dl_manager.manual_dir))
        except AssertionError:  # there is none
            pass
        for folder in folders:
            if all((folder / file.name).is_file() for file in self.reader.files):
                return folder
        fetch(self.reader.files, download_dir)
        return download_dir

    def _generate_examples(self, split: Split) -> Iterator[tuple[str, dict[str, Any]]]:
        names = np.repeat(split.names, split.counts)
        for index, (image, name) in enumerate(zip(split.images, names, strict=True)):
            png = io.BytesIO()
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(png, "PNG")
            png.seek(0)
            yield f"{index:08d}", {"image": png, "label": str(name)}


class CifarFs(FewShotBuilder):
    """CIFAR-FS."""

    name = "cifar_fs"
    reader = cifar.cifar_fs
    shape = (32, 32, 3)
    about = "The 100 classes of CIFAR-100, split 64/16/20 at random for few-shot learning."
    homepage = "https://arxiv.org/abs/1805.08136"
    citation = (
        "Bertinetto et al. (2019), Meta-learning with differentiable closed-form solvers, ICLR."
    )


class Fc100(FewShotBuilder):
    """FC100."""

    name = "fc100"
    reader = cifar.fc100
    shape = (32, 32, 3)
    about = "The 100 classes of CIFAR-100, split 60/20/20 by superclass for few-shot learning."
    homepage = "https://arxiv.org/abs/1805.10123"
    citation = (
        "Oreshkin et al. (2018), TADAM: Task dependent adaptive metric for few-shot learning, "
        "NeurIPS."
    )


class OmniglotVinyals(FewShotBuilder):
    """Omniglot in the split of Vinyals et al., without the rotations: those are made from it."""

    name = "omniglot_vinyals"
    reader = omniglot.omniglot
    shape = (28, 28, 1)
    about = (
        "1,623 handwritten characters, 20 drawings each, 28x28, ink high, split 1028/172/423 "
        "characters."
    )
    homepage = "https://arxiv.org/abs/1606.04080"
    citation = (
        "Lake et al. (2015), Human-level concept learning through probabilistic program induction, "
        "Science 350; "
        "Vinyals et al. (2016), Matching networks for one shot learning, NeurIPS."
    )
