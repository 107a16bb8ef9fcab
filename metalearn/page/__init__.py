"""A page in the browser: photographs into classes, a recogniser of them, and what it answers."""

HOST = "127.0.0.1"  # reached by this machine alone
