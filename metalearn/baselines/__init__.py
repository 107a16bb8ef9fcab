"""Supervised pre-training and the heads put on it: what meta-learning is compared with."""
