"""Labelling one's own photographs: what to ask for next, and what was answered, in one folder."""
