"""Recognisers of a person's own things: fitted to a few photographs, kept in one file."""
