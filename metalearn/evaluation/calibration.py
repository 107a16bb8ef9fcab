"""Expected calibration error (Guo et al. 2017, equation 3): how far confidence is from accuracy."""

import numpy as np

BINS = 15  # of confidence


def calibration_counts(logs: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Calibration counts [3, BINS], as those of `metrics.episode_metrics`.

    Counted on the host in float64, whatever an accelerator's matrix products are rounded to.

    Args:
      logs: [M], log-probability of each answer.
      right: bool [M], whether it is right.
    """
    confidence = np.exp(logs)
    bins = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)
    return np.stack([np.bincount(bins, of, BINS) for of in (np.ones(len(bins)), right, confidence)])


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error from calibration counts [3, BINS]."""
    queries, right, confidence = counts
    return float(np.abs(right - confidence).sum() / queries.sum())
