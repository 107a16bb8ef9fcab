"""Classifiers fitted to the features of a whole labelled training set.

    ridge      one-hot regression with an unpenalised bias, in closed form: `ridge`
    logistic   multinomial logistic regression: `logistic`
    centroid   cosines to class means of centred features: `centroid`

How strongly each is regularised is chosen by a validation split, or by training images held out.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from metalearn.errors import UserError
from metalearn.transfer import centroid, logistic, ridge
from metalearn.transfer.fitted import UNSEEN, Probe, Sample

KINDS: dict[str, Callable[[Sample, Sample | None], Probe]] = {
    "ridge": ridge.fit,
    "logistic": logistic.fit,
    "centroid": centroid.fit,
}
Labelled = tuple[np.ndarray, np.ndarray]


def fit_probe(
    kind: str,
    z: np.ndarray,
    y: np.ndarray,
    classes: int,
    valid: Labelled | None = None,
    weights: np.ndarray | None = None,
    centred: bool = False,
    images: np.ndarray | None = None,
) -> Probe:
    """A classifier of features.

    Classes without training images never win, see `Probe`; validation images of them are not looked
    at. How the regularisation is chosen is said in the modules named above.

    Args:
      kind: key of `KINDS`.
      z: features [M,D] of the training images.
      y: their labels, int [M] in [0, C).
      classes: C.
      valid: features and labels to choose the regularisation by, instead of training images.
      weights: [C], above 0, of classes in the fit and in the choice of the regularisation (of
        `centroid`, of its scale alone); all 1 by default.
      centred: whether the features are less the mean of more images than these, which `centroid`
        then leaves as they are.
      images: [M], of training images in the fit and, where it is chosen by them, in the choice of
        the regularisation; 0 for an image that is not to count. All 1 by default.

    Raises:
      UserError: unknown kind; features, labels or weights that do not fit each other; images of
        fewer than two classes; features that are no numbers, or all the same.

    Example: two classes, one feature.

        >>> import numpy as np
        >>> from metalearn.transfer.probes import apply_probe, fit_probe
        >>> z = np.array([[-1.1], [-0.9], [0.9], [1.1]], np.float32)
        >>> probe = fit_probe("ridge", z, np.array([0, 0, 1, 1]), 2)
        >>> apply_probe(probe, np.array([[-2.0], [0.5]], np.float32)).argmax(1).tolist()
        [0, 1]
    """
    if kind not in KINDS:
        raise UserError(f"unknown probe '{kind}': choose one of {', '.join(KINDS)}")
    (z, y) = checked(z, y, classes, "training")
    of_class = _weights(weights, classes)
    if images is not None:
        images = _image_weights(images, len(y))
        (z, y, images) = (part[images > 0] for part in (z, y, images))
    present = np.unique(y)
    if len(present) < 2:
        raise UserError(f"training images of {len(present)} class: a probe needs those of two")
    if (z == z[0]).all():
        raise UserError("the features of all images are the same: check the images and the body")
    place = np.full(classes, -1)
    place[present] = np.arange(len(present))
    train = Sample(z, place[y], of_class[present], images)
    judged = None if valid is None else _validation(train, valid, place)
    function = KINDS[kind]
    if centred and kind == "centroid":
        function = partial(centroid.fit, prior=math.inf)
    return _spread(function(train, judged), present, classes)


def checked(z: np.ndarray, y: np.ndarray, classes: int, name: str) -> Labelled:
    """The features as float32 and the labels as int64.

    Args:
      z: [M,D].
      y: [M].
      classes: C.
      name: of these images, for messages.

    Raises:
      UserError: they do not fit each other, or are no numbers.
    """
    z = np.asarray(z)
    y = np.asarray(y)
    if z.ndim != 2 or y.shape != (len(z),) or not len(z):
        raise UserError(
            f"{name} features {z.shape} and labels {y.shape}: give features [M,D] and labels [M]"
        )
    if not np.issubdtype(y.dtype, np.integer):
        raise UserError(f"{name} labels are {y.dtype}: give whole numbers")
    if y.min() < 0 or y.max() >= classes:
        wrong = y.min() if y.min() < 0 else y.max()
        raise UserError(f"{name} label {wrong} of {classes} classes: labels are 0 to {classes - 1}")
    z = z.astype(np.float32, copy=False)
    if not np.isfinite(z).all():
        raise UserError(f"{name} features are not all finite: check the images and the body")
    return z, y.astype(np.int64, copy=False)


def _weights(weights: np.ndarray | None, classes: int) -> np.ndarray:
    if weights is None:
        return np.ones(classes)
    found = np.asarray(weights, np.float64)
    if found.shape != (classes,) or not (np.isfinite(found) & (found > 0)).all():
        raise UserError(f"class weights {found.shape}: give {classes} numbers above 0")
    return found


def _image_weights(images: np.ndarray, number: int) -> np.ndarray:
    """Weights [M] as given, their mean brought to 1."""
    found = np.asarray(images, np.float64)
    if found.shape != (number,) or not (np.isfinite(found) & (found >= 0)).all():
        raise UserError(f"image weights {found.shape}: give {number} numbers, 0 or more")
    if not found.any():
        raise UserError("all image weights are 0: some images have to count")
    return found / found.mean()


def _validation(train: Sample, valid: Labelled, place: np.ndarray) -> Sample:
    """The validation images of classes that have training images."""
    (z, y) = checked(*valid, len(place), "validation")
    if z.shape[1] != train.z.shape[1]:
        raise UserError(
            f"{z.shape[1]} validation features an image, {train.z.shape[1]} in training: embed "
            "both by the same body"
        )
    rows = np.flatnonzero(place[y] >= 0)
    if not len(rows):
        raise UserError("no validation image is of a class with training images: leave them out")
    return Sample(z[rows], place[y[rows]], train.weights)


def _spread(probe: Probe, present: np.ndarray, classes: int) -> Probe:
    """A probe of some classes as one of all."""
    w = np.zeros((len(probe.w), classes), np.float32)
    b = np.full(classes, UNSEEN, np.float32)
    w[:, present] = probe.w
    b[present] = probe.b
    return probe._replace(w=w, b=b)


def apply_probe(probe: Probe, z: np.ndarray) -> np.ndarray:
    """Logits [M,C], float32, of features z [M,D].

    Raises:
      UserError: features of another size.
    """
    if z.ndim != 2 or z.shape[1] != len(probe.w):
        raise UserError(f"features {z.shape}: the probe takes [M,{len(probe.w)}]")
    z = z.astype(np.float32, copy=False)
    if probe.kind == "linear":
        return z @ probe.w + probe.b
    found = probe.scale * centroid.cosines(z, probe.centre, probe.w) + probe.b
    return found.astype(np.float32)


def as_classifier(probe: Probe, features: int) -> dict[str, np.ndarray]:
    """{w [D,C], b [C]} for `metalearn.ops.classifier.classify("linear", ...)`.

    Raises:
      UserError: a cosine probe, which has no such parameters; features of another size than D.
    """
    if probe.kind != "linear":
        raise UserError(f"a {probe.kind} probe is not linear: fit ridge or logistic")
    if len(probe.w) != features:
        raise UserError(f"the probe takes {len(probe.w)} features an image, not {features}")
    return {"w": probe.w, "b": probe.b}
