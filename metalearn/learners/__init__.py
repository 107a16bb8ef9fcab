"""Few-shot methods, one short file each."""
