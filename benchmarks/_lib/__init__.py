"""What the benchmark programs share: work, contenders, measuring, records, the page of them."""
