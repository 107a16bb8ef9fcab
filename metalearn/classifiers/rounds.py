"""A body that is trained anew in each round of active learning, in place of a head on features."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from metalearn.active.images import Answers, Fit, Images
from metalearn.classifiers.fitting import by_training
from metalearn.config import Config
from metalearn.data.labels import Part
from metalearn.training.material import Material, features_of, images_of
from metalearn.training.state import Run
from metalearn.training.subject import predictor, subject


def trained_fit(config: Config, material: Material, folder: Path) -> Fit:
    """What trains the body of the material by the config's strategy, from its start.

    Nothing validates: all labels are trained on, and the last state is asked.

    Args:
      config: settings of the training.
      material: body and images; labels are asked for among its training images.
      folder: of checkpoints while a training lasts.
    """
    labelled = material.labelled
    about = subject(config, material._replace(labelled=labelled._replace(valid=None)))
    chosen = features_of(material, material.division.first) if about.cached else images_of(material)
    predict = predictor(about)
    whole = np.asarray(chosen.train.images)

    def fit(images: Images, rows: np.ndarray) -> Answers:
        places = np.sort(images.places[rows])  # of the training images, which are sorted by class
        counts = np.bincount(labelled.train.labels[places], minlength=images.classes)
        part = Part(labelled.train.split, labelled.train.rows[places], counts.astype(np.int32))
        few = labelled._replace(train=part, valid=None)
        known = dataclasses.replace(config, labels=1)  # there are no validation images
        shutil.rmtree(folder, ignore_errors=True)
        outcome = by_training(Run(known, folder), material._replace(labelled=few))
        shutil.rmtree(folder)
        return Answers(predict(outcome.ready, whole[images.places]), outcome.logits)

    return fit
