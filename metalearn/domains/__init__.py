"""Domain adaptation: labelled images of one kind, and unlabelled ones of the kind that is asked."""
