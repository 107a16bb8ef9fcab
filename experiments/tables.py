"""Make RESULTS.md from the records in results/ and the published numbers in results/published.csv.

`python -m experiments.tables [--results_dir=results] [--out=RESULTS.md] [--noplots]`. The measured
rows go to `<results_dir>/table.csv` and, as LaTeX, `<results_dir>/table.tex` too (or to --csv and
--latex), the plots to `<results_dir>/plots`. Records of labelled images and of recognisers of few
photographs, of active learning and of domain adaptation, if there are any, go to `labelled.csv`,
`personal.csv`, `active.csv` and `domains.csv` beside table.csv.
`<results_dir>/findings.md`, if there is one, goes with its numbers filled in to docs/findings.md
(or to --findings).
"""

from pathlib import Path

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.start import start
from metalearn.files import write_text
from metalearn.records.active_plots import draw_active_plots
from metalearn.records.active_tables import active_csv
from metalearn.records.domains_plots import draw_domains_plots
from metalearn.records.domains_tables import domains_csv
from metalearn.records.export import latex, table_csv
from metalearn.records.labelled_plots import draw_labelled_plots
from metalearn.records.labelled_tables import labelled_csv
from metalearn.records.personal_tables import personal_csv
from metalearn.records.plots import draw_plots
from metalearn.records.tables import findings, markdown

# Files beside table.csv, where there are such records
CSV = {
    "labelled.csv": labelled_csv,
    "personal.csv": personal_csv,
    "active.csv": active_csv,
    "domains.csv": domains_csv,
}
PLOTS = (draw_plots, draw_labelled_plots, draw_active_plots, draw_domains_plots)


def main() -> None:
    """Reads the records, then writes tables and plots.

    Raises:
      UserError: a file that is no record, or one that cannot be written.
    """
    root = Path(FLAGS.results_dir)
    rows = Path(FLAGS.csv or root / "table.csv")
    made = {
        Path(FLAGS.out): markdown(root),
        rows: table_csv(root),
        Path(FLAGS.latex or root / "table.tex"): latex(root),
    }
    for name, csv in CSV.items():
        if text := csv(root):
            made[rows.with_name(name)] = text
    if text := findings(root):
        made[Path(FLAGS.findings)] = text
    for path, text in made.items():
        write_text(path, text)
        print(f"wrote {path}")
    for draw in PLOTS if FLAGS.plots else ():
        for path in draw(root):
            print(f"wrote {path}")


if __name__ == "__main__":
    define_flag("results_dir", "results", "folder of the records and of published.csv")
    define_flag("out", "RESULTS.md", "the tables, in Markdown")
    define_flag(
        "findings", "docs/findings.md", "what was found, if <results_dir> has a findings.md"
    )
    define_flag("csv", None, "file for the measured rows as CSV [<results_dir>/table.csv]")
    define_flag("latex", None, "file for them as LaTeX tables (booktabs) [<results_dir>/table.tex]")
    define_flag("plots", True, "draw the plots too")
    start(main)
