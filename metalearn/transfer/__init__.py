"""Transfer from pre-trained bodies to a whole labelled training set."""
