"""Make RESULTS.md from the records in results/ and the published numbers in results/published.csv.

`python -m experiments.tables [--results_dir=results] [--out=RESULTS.md] [--csv=FILE] [--latex=FILE] [--noplots]`; --csv
and --latex write the measured rows to these files too. The plots go to `<results_dir>/plots`.
"""

from pathlib import Path

from absl import flags

from experiments.program import start
from metalearn.plots import draw_plots
from metalearn.tables import latex, markdown, table_csv

FLAGS = flags.FLAGS


def main() -> None:
    """Read, then write what was asked for."""
    root = Path(FLAGS.results_dir)
    made = {FLAGS.out: markdown(root)}
    for name, table in ((FLAGS.csv, table_csv), (FLAGS.latex, latex)):
        if name:
            made[name] = table(root)
    for name, text in made.items():
        Path(name).write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {name}")
    for path in draw_plots(root) if FLAGS.plots else []:
        print(f"wrote {path}")


if __name__ == "__main__":
    flags.DEFINE_string("results_dir", "results", "folder of the records and of published.csv")
    flags.DEFINE_string("out", "RESULTS.md", "the tables, in Markdown")
    flags.DEFINE_string("csv", None, "file for the measured rows as CSV [none]")
    flags.DEFINE_string("latex", None, "file for the measured rows as LaTeX tables (booktabs) [none]")
    flags.DEFINE_boolean("plots", True, "draw the plots too")
    start(main)
