"""Mean features of many photographs, which come along for some bodies."""

import json
from pathlib import Path

import numpy as np

from metalearn.errors import UserError

MEANS = Path(__file__).with_name("means")  # a file for each body


def known_mean(name: str, digest: str) -> np.ndarray | None:
    """Mean features [D] of other photographs, of a body with exactly these weights; or None.

    Raises:
      UserError: the file of means is damaged.
    """
    path = MEANS / f"{name}.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        same = found["weights"] == digest
        return np.array(found["mean"], np.float32) if same else None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): check out the project again") from error
