"""Domain adaptation by training a body: losses of both domains' batches, one file a family."""
