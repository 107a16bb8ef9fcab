"""Active learning: which images of a pool should be labelled?"""
