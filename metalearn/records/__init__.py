"""Records of what runs measured, as files that anyone can check, and their tables and plots."""
