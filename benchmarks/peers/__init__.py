"""The same work by others: one file per library, each a process that `benchmarks.contenders` starts
and times.
"""
