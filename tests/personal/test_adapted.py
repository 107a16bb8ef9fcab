"""Meta-trained runs as the model of a recogniser."""

import numpy as np

from metalearn.config import Config
from metalearn.data.snapshots import Snapshot, from_pixels
from metalearn.learners.method import make_method
from metalearn.personal.adapted import adapted
from metalearn.personal.model import Maker
from metalearn.training.trained import Best, Trained
from metalearn.types import InputSpec, random_key
from tests.personal.made import NAMES, picture

INPUTS = InputSpec((16, 16), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def maker(method: str, **changes: object) -> Maker:
    """An untrained run: colours are told apart by random features, too."""
    given = {"backbone": "conv2-8", "ways": 3, "train_ways": 3, "test_inner_steps": 5}
    config = Config(method=method, **(given | changes))
    learner = make_method(config, 4).train
    meta = learner.init(random_key(0), np.zeros((2, *INPUTS.shape), np.float32))
    return adapted(config, Trained(meta, INPUTS, Best()))


def things(*counts: int) -> dict[str, list[Snapshot]]:
    return {
        NAMES[label]: [from_pixels(picture(label, i), 16, f"{label}-{i}") for i in range(count)]
        for label, count in enumerate(counts)
    }
