"""Multinomial logistic regression on standardised features, by scikit-learn's L-BFGS."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from metalearn.transfer.fitted import Probe, Sample, blocks, linear_outputs, linear_probe
from metalearn.transfer.scores import (
    accuracy,
    log_likelihood,
    scored_rows,
    stratified_folds,
    stratified_subset,
)

# C times the number of features that vary, whose squares add up to as many in the mean; strongest
# regularisation first, as each fit starts from the last
GRID = (0.1, 1.0, 10.0, 100.0, 1000.0)
FEW_IMAGES = GRID.index(100.0)
FOLDS = 5
ITERATIONS = 300  # at most, of a fit
ONE_FOLD = 5_000  # images, of which a fifth held out tells enough
MANY = 20_000  # images, of which a part tells the best C
# Products an iteration up to which one thread fits: where others use the cores too, the threads of
# so little work wait for each other ten times as long as they work
SMALL = 200_000_000

Fit = tuple[np.ndarray, np.ndarray, bool]  # w [D,C], b [C], whether it converged


def standardisation(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [D], float64; infinite of features that do not vary."""
    mean = z.mean(0, dtype=np.float64)
    squares = np.zeros(z.shape[1])
    for rows in blocks(len(z)):
        squares += np.square(z[rows] - mean).sum(0)
    std = np.sqrt(squares / len(z))
    return mean, np.where(std > 1e-6 * np.abs(mean), std, np.inf)


def path(sample: Sample, strengths: list[float]) -> Iterator[Fit]:
    """Fits of standardised features for each C, each from the last one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    weights = dict(enumerate(sample.weights.tolist()))
    model = LogisticRegression(max_iter=ITERATIONS, class_weight=weights, warm_start=True)
    threads = 1 if sample.z.size * len(sample.weights) <= SMALL else None
    for c in strengths:
        with warnings.catch_warnings(), threadpool_limits(threads):
            # `_parts` looks at the iterations instead
            warnings.simplefilter("ignore", ConvergenceWarning)
            # One image a class is no mistake
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.set_params(C=c).fit(sample.z, sample.y, sample.images)
        yield _parts(model)


def _parts(model: Any) -> Fit:
    w = model.coef_.T.astype(np.float64)
    b = model.intercept_.astype(np.float64)
    if w.shape[1] == 1:
        # Of two classes scikit-learn fits the difference
        w = np.concatenate([-w / 2, w / 2], 1)
        b = np.concatenate([-b / 2, b / 2])
    return w, b, bool(model.n_iter_.max() < ITERATIONS)


def fit(train: Sample, valid: Sample | None) -> Probe:
    """The probe: scikit-learn's objective |w|^2 / 2 + C * sum of weighted cross-entropies.

    Features are standardised, each by its own mean and deviation, which go into w and b. C is one
    of 0.1 to 1000 over the number of features that vary, and so means much the same for all bodies.
    It has the highest accuracy, and on a tie the highest likelihood, of validation images, or
    without these in cross-validation: five folds, or as many as the largest class has images.
    Images alone in their class are not held out. Of more than 5,000 images one fifth is held out,
    once. Of more than 20,000 a part of that number, the same share of each class, chooses C, and
    one fit to all follows.

    Where fewer than half of the classes have two images, C is 100 over the number of features.
    """
    (mean, std) = standardisation(train.z)
    whole = _standardised(train, mean, std)
    judged = None if valid is None else _standardised(valid, mean, std)
    varying = max(1, int(np.isfinite(std).sum()))
    (c, note) = _strength([value / varying for value in GRID], whole, judged)
    (w, b, converged) = next(path(whole, [c]))
    w = w / std[:, None]
    if not converged:
        note += f"; not converged in {ITERATIONS} iterations"
    return linear_probe(w, b - mean @ w, c, note)


def _standardised(sample: Sample, mean: np.ndarray, std: np.ndarray) -> Sample:
    z = np.empty(sample.z.shape, np.float32)
    for rows in blocks(len(z)):
        z[rows] = (sample.z[rows] - mean) / std
    return sample._replace(z=z)


def _strength(strengths: list[float], train: Sample, valid: Sample | None) -> tuple[float, str]:
    """The best C, and how it was chosen."""
    where = ""
    if len(train.z) > MANY:
        train = train.at(stratified_subset(train.y, MANY))
        where = f" of fits to {len(train.z)} images"
    if valid is not None:
        how = "validation accuracy"
        pairs = [(train, valid)]
    elif len(scored_rows(train.y)):
        how = "cross-validated accuracy"
        pairs = held_out(train)
    else:
        fixed = strengths[FEW_IMAGES]
        return fixed, f"few images: fixed C of {fixed:.3g}"
    qualities = np.zeros((len(GRID), 2))
    for fitted, judged in pairs:
        for i, (w, b, _) in enumerate(path(fitted, strengths)):
            logits = linear_outputs(judged.z, w, b)
            found = (accuracy(logits, judged), log_likelihood(logits, judged))
            qualities[i] += np.array(found) / len(pairs)
    best = max(range(len(GRID)), key=lambda i: tuple(qualities[i]))
    note = f"C {strengths[best]:.3g} by {how} ({qualities[best][0]:.1%}){where}"
    return strengths[best], note


def held_out(train: Sample) -> list[tuple[Sample, Sample]]:
    """Images to fit and images to judge, by fold; one fold alone where there are many."""
    number = min(FOLDS, int(np.bincount(train.y).max()))
    folds = stratified_folds(train.y, number)
    used = range(1 if len(folds) > ONE_FOLD else number)
    return [
        (train.at(np.flatnonzero(folds != fold)), train.at(np.flatnonzero(folds == fold)))
        for fold in used
        if (folds == fold).any()
    ]
