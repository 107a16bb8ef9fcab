"""Write docs/performance.md and its plots from the records of the benchmarks.

`python -m benchmarks.report [--results_dir=results/benchmarks] [--out=docs/performance.md]`
"""

from pathlib import Path

from benchmarks._lib.page import pages
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.start import start


def main() -> None:
    """Write the text, and the plots into a folder of its name beside it.

    Plots that are no longer made go.
    """
    out = Path(FLAGS.out)
    folder = out.with_suffix("")
    text, plots = pages(Path(FLAGS.results_dir), folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, drawn in plots.items():
        (folder / name).write_bytes(drawn)
    if not plots:
        folder.rmdir()
    out.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {out} and {len(plots)} plots")


if __name__ == "__main__":
    define_flag("results_dir", "results/benchmarks", "folder of the records")
    define_flag("out", "docs/performance.md", "the page")
    start(main)
