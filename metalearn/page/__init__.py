"""A page in the browser: photographs into classes, a recogniser of them, and what it answers."""
