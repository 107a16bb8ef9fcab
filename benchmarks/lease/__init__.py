"""A short lease of one GPU: what is known before it, and scripts that fill it (README.md)."""
