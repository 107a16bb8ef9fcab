"""Evaluation: the shared test episodes, metrics, running statistics, partial results."""
