"""Few-shot learning in JAX: meta-learning, transfer and fine-tuning under one protocol."""
