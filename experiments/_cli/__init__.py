"""The command line: flags, what starts a program and ends it, the queue of runs."""
