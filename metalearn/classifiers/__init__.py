"""Classifiers of fixed classes: from settings to a record, a report and pictures."""
