"""Softmax of NumPy arrays, without SciPy, whose import takes longer than an answer."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities of finite logits [...,C], in their type."""
    less = logits - logits.max(-1, keepdims=True)
    return less - np.log(np.exp(less).sum(-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of finite logits [...,C], in their type."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
