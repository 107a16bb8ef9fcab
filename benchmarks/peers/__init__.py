"""The same work by others, one file a library; `benchmarks._lib.contenders` starts each."""
