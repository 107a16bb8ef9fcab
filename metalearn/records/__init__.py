"""Records: what runs measured, as files that anyone can check, and the tables and plots made from
them.
"""
