"""Records of simulated active learning, what they say, and their tables."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from metalearn.active.trial import Round
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.active import ACTIVE, NOTHING, ActiveMeasured, ActiveRecord, ActiveTest
from metalearn.records.active_plots import draw_active_plots
from metalearn.records.active_rows import active_rows, area, labels_to_reach
from metalearn.records.active_tables import active_csv, active_markdown
from metalearn.records.draws import estimate
from metalearn.records.findings import filled
from metalearn.records.named_numbers import named_numbers
from metalearn.records.record import Provenance

BUDGETS = [100, 1000, 2000]
RANDOM = [[0.2, 0.4, 0.6], [0.3, 0.5, 0.7]]
BETTER = [[0.3, 0.5, 0.6], [0.4, 0.6, 0.7]]


def record(strategy: str, accuracy: list[list[float]], **changes: object) -> ActiveRecord:
    config = Config(
        method="probe", dataset="cifar100", backbone="efficientnet-lite0", weights="sha256:5793"
    )
    test = ActiveTest(
        strategy=strategy,
        classifier="auto",
        budgets=BUDGETS,
        pool=0,
        balanced=False,
        distinct=False,
        draws=2,
        images_hash="0123456789abcdef",
        images=1000,
    )
    seconds = [[0.1, 0.2, 0.3], [0.01, 0.02, 0.03]]
    agreement = [[0.5, 0.6], [0.5, 0.6]]
    classes = [[60, 100, 100], [61, 100, 100]]
    measured = ActiveMeasured(accuracy, accuracy, classes, agreement, seconds, seconds)
    provenance = Provenance(
        f"python -m experiments.active --strategies={strategy}", "0123456789ab", "2x CPU", "abcd"
    )
    found = ActiveRecord(config, test, measured, (), provenance)
    return dataclasses.replace(found, test=dataclasses.replace(test, **changes))


def written(root: Path, *records: ActiveRecord) -> list[Path]:
    paths = []
    for each in records:
        paths.append(ACTIVE.path(root, each))
        ACTIVE.write(paths[-1], each)
    return paths


def test_record_read_is_the_one_written(tmp_path: Path) -> None:
    (path,) = written(tmp_path, record("margin", BETTER))
    assert ACTIVE.read(path) == dataclasses.replace(record("margin", BETTER), path=path)


@pytest.mark.parametrize(
    "changes",
    [{"balanced": True}, {"distinct": True}, {"pool": 50}, {"budgets": [1, 2, 3]}],
    ids=str,
)
def test_other_tests_have_other_files(tmp_path: Path, changes: dict[str, object]) -> None:
    paths = written(tmp_path, record("margin", BETTER), record("margin", BETTER, **changes))
    assert len(set(paths)) == 2 and len(ACTIVE.read_all(tmp_path)) == 2


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("measured", "accuracy", [[0.1, 0.2, 1.3], [0.1, 0.2, 0.3]]),
        ("measured", "accuracy", [[0.1, 0.2, 0.3]]),
        ("measured", "accuracy", [[0.1, 0.2], [0.1, 0.2]]),
        ("measured", "macro_recall", [["a", 0.2, 0.3], [0.1, 0.2, 0.3]]),
        ("measured", "pick_s", None),
        ("test", "budgets", [100, 100, 200]),
        ("test", "draws", "two"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, part: str, name: str, value: object) -> None:
    (path,) = written(tmp_path, record("margin", BETTER))
    found = json.loads(path.read_text())
    found[part][name] = value
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match=f"{path.name}.*{name}"):
        ACTIVE.read_all(tmp_path)


def test_draws_are_added_one_by_one() -> None:
    rounds = [Round(10, 0.25, 0.2, 3, None, 0.5, 0.1), Round(20, 0.5, 0.4, 4, 0.7, 0.6, 0.2)]
    found = NOTHING.with_draw(rounds).with_draw(rounds)
    assert found.accuracy == [[0.25, 0.5], [0.25, 0.5]]
    assert found.agreement == [[0.7], [0.7]] and found.classes == [[3, 4], [3, 4]]


def test_gains_are_paired_with_random_choices(tmp_path: Path) -> None:
    written(tmp_path, record("margin", BETTER), record("random", RANDOM))
    (rows,) = active_rows(tmp_path).values()
    (random, margin) = rows
    assert (random.name, margin.name) == ("random", "margin")
    assert random.gains is None and margin.gains is not None
    np.testing.assert_allclose(margin.gains, [[0.1, 0.1, 0], [0.1, 0.1, 0]], atol=1e-9)
    assert estimate(margin.gains[:, 0]).ci95 == pytest.approx(0, abs=1e-9)


def test_interval_is_student_s() -> None:
    found = estimate(np.array([1.0, 2.0, 3.0]))
    assert found.mean == 2 and found.ci95 == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert estimate(np.array([1.0])).ci95 is None


def test_area_is_the_mean_over_the_logarithm_of_labels() -> None:
    curves = np.array([[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(area([1, 10, 100], curves), [0.75, 0.5])


def test_labels_that_reach_an_accuracy_lie_between_budgets() -> None:
    curve = np.array([0.2, 0.4, 0.5])
    assert labels_to_reach([10, 1000, 2000], curve, 0.3) == pytest.approx(100)
    assert labels_to_reach([10, 1000, 2000], curve, 0.1) == 10
    assert labels_to_reach([10, 1000, 2000], curve, 0.6) is None


def test_table_shows_gains_and_marks_the_best(tmp_path: Path) -> None:
    written(tmp_path, record("margin", BETTER), record("random", RANDOM))
    text = active_markdown(tmp_path)
    assert "### cifar100, efficientnet-lite0\n" in text
    assert "**35.00** (+10.00 ± 0.00)" in text and "| 25.00 |" in text
    # Halfway between 100 and 1,000 labels: from 0.35 to 0.55, 0.45 is reached
    assert "316 (0.32)" in text
    assert "python -m experiments.active --strategies=margin" in text


def test_csv_has_a_line_for_each_strategy_and_budget(tmp_path: Path) -> None:
    written(tmp_path, record("margin", BETTER), record("random", RANDOM))
    lines = active_csv(tmp_path).splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("table,strategy,labels,draws,seed,accuracy")


def test_other_settings_have_another_table(tmp_path: Path) -> None:
    written(tmp_path, record("random", RANDOM), record("random", RANDOM, pool=500))
    assert list(active_rows(tmp_path)) == [
        "cifar100, efficientnet-lite0",
        "cifar100, efficientnet-lite0, pool of 500",
    ]


def test_plots_are_the_same_for_the_same_records(tmp_path: Path) -> None:
    written(tmp_path, record("margin", BETTER), record("random", RANDOM))
    (path,) = draw_active_plots(tmp_path)
    first = path.read_bytes()
    draw_active_plots(tmp_path)
    assert path.read_bytes() == first and b"margin" in first


def test_no_records_are_no_section(tmp_path: Path) -> None:
    assert active_markdown(tmp_path) == "" and active_csv(tmp_path) == ""


def test_texts_name_accuracies_and_differences(tmp_path: Path) -> None:
    paths = written(tmp_path, record("margin", BETTER), record("random", RANDOM))
    names = [str(path.relative_to(tmp_path).with_suffix("")) for path in paths]
    text = tmp_path / "findings.md"
    text.write_text(f"{{{names[0]}@100}} ({{{names[0]}@100 - {names[1]}@100}})")
    assert filled(text, {}, named_numbers(tmp_path)) == "35.00 (+10.00)"
    text.write_text(f"{{{names[0]}@150}}")
    with pytest.raises(UserError, match="no record"):
        filled(text, {}, named_numbers(tmp_path))
