"""The plots: what is paired with what, the same bytes from the same records, none stale in the
repository.
"""

from pathlib import Path

import numpy as np

from metalearn.records.names import file_name
from metalearn.records.plots import draw_plots
from metalearn.records.points import PLOTS, digest, kinds, points
from metalearn.records.svg import HASHES, spread
from metalearn.records.tables import load, markdown
from tests.programs import ROOT


def test_same_records_draw_the_same_bytes(counted: Path) -> None:
    first = {path.name: path.read_bytes() for path in draw_plots(counted)}
    assert sorted(first) == sorted(f"cifar_fs-{kind}.svg" for kind in PLOTS)
    assert {path.name: path.read_bytes() for path in draw_plots(counted)} == first
    assert all(f"](results/plots/{name})" in markdown(counted) for name in first)
    text = first["cifar_fs-paired.svg"].decode()
    assert not HASHES.search(text)  # of coordinates, whose last digits depend on the processor
    assert "maml conv4-32 (batch), 60000 steps" in text and "5-way 1-shot, 10000 episodes" in text
    assert (
        "anil" not in text and "boil" not in text and "5-shot" not in text
    )  # alone with its episodes; none kept


def test_line_labels_are_spread_as_little_as_needed() -> None:
    assert spread([1.0, 2.0, 5.0], 1.0) == [1.0, 2.0, 5.0]
    assert spread([3.0, 3.0], 1.0) == [2.5, 3.5]
    np.testing.assert_allclose(spread([0.0, 3.0, 3.1, 3.9], 1.0), [0.0, 7 / 3, 10 / 3, 13 / 3])


def test_shots_plot_needs_two_numbers_of_shots(counted: Path) -> None:
    draw_plots(counted)
    text = (counted / "plots" / "cifar_fs-shots.svg").read_text()
    assert "protonet conv4-32 (running), 60000 steps, transductive, " in text and "maml" not in text


def test_plots_in_the_repository_are_up_to_date() -> None:
    for dataset, rows in load(ROOT / "results")[0].items():
        for kind in kinds(points(rows)):
            path = ROOT / "results" / "plots" / f"{file_name(dataset)}-{kind}.svg"
            said = f"{path} is not what its command draws: run python -m experiments.tables"
            assert path.exists() and digest(points(rows)) in path.read_text(), said
