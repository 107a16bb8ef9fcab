"""Evaluation: the shared list of test episodes, what is measured on them, partial results."""
