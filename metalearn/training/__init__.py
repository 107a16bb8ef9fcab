"""Training: what a run is assembled of, the compiled step, the loop around it, what is saved."""
