"""Small domains that tests share."""

import numpy as np

from metalearn.domains.nearest import nearest_logits
from metalearn.domains.types import Adapted, Domains

CLASSES = 3


def blobs(number: int, seed: int, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Three blobs; features vary by different amounts; all classes are as frequent."""
    random = np.random.default_rng(seed)
    y = np.arange(number) % CLASSES
    z = 4 * np.eye(CLASSES, size)[y] + random.normal(size=(number, size)) * 0.5
    return z * np.linspace(0.6, 1.4, size), y


def plane(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three blobs in the plane, at the corners of no regular triangle."""
    random = np.random.default_rng(seed)
    y = np.arange(number) % CLASSES
    middles = np.array([[0.0, 0.0], [5.0, 1.0], [1.0, 4.0]])
    return middles[y] + 0.6 * random.normal(size=(number, 2)), y


def domains(number: int = 60, others: int = 48, size: int = 4) -> Domains:
    """Blobs, and blobs that are moved, scaled and a little turned."""
    (source, y) = blobs(number, 0, size)
    (target, _) = blobs(others, 1, size)
    turn = np.eye(size)
    (c, s) = (np.cos(0.3), np.sin(0.3))
    turn[:2, :2] = [[c, -s], [s, c]]
    return Domains(source, y, 1.3 * target @ turn.T + 2, CLASSES)


def right(adapted: Adapted, y: np.ndarray, target_z: np.ndarray, target_y: np.ndarray) -> float:
    """Accuracy of the nearest image."""
    logits = nearest_logits(adapted.source, y, CLASSES, adapted.transform(target_z))
    return float((logits.argmax(1) == target_y).mean())
