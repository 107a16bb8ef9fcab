"""Programs: each is flags and wiring over `metalearn`, started as `python -m experiments.NAME`."""
