"""Programs: each is flags and wiring over `metalearn`."""
