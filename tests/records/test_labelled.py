"""Records of labelled images: files, names, and what RESULTS.md, CSV and plots make of them."""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.labelled import (
    LabelledMeasured,
    LabelledRecord,
    LabelledTest,
)
from metalearn.records.labelled_plots import draw_labelled_plots
from metalearn.records.labelled_points import (
    PLOTS,
    labelled_digest,
    labelled_points,
    labels_of,
    plot_name,
)
from metalearn.records.labelled_rows import labelled_rows
from metalearn.records.labelled_store import LABELLED, read_answers, write_labelled
from metalearn.records.labelled_tables import (
    counted,
    labelled_csv,
    labelled_markdown,
    short_commit,
)
from metalearn.records.named_numbers import named_numbers
from metalearn.records.record import Provenance, Stage
from metalearn.records.svg import HASHES
from metalearn.records.tables import markdown
from tests.made_up import PUBLISHED
from tests.programs import ROOT, process

BODY = Stage("init_from", Config(method="rfs", dataset="fc100", steps=400), (), 50.0)
ANSWERS = np.array([[0, 1, 2, 300], [0, 1, 1, 7]])
CONFIG = Config(
    method="probe",
    dataset="usps",
    backbone="efficientnet-lite0",
    weights="sha256:abc",
    input_size=160,
    steps=0,
    labels=5,
)
MEASURED = LabelledMeasured(
    accuracy=0.7,
    ci95_low=0.68,
    ci95_high=0.72,
    macro_precision=0.66,
    macro_recall=0.65,
    macro_f1=0.64,
    ece=0.05,
    loss=1.2,
    accuracy_before=None,
    macro_recall_before=None,
    valid_accuracy=None,
    trained_parameters=12_810,
    parameters=3_383_818,
    adapt_s=0.25,
    peak_memory_mb=600.0,
)
TEST = LabelledTest("0123456789abcdef", 2007, 0)
PROVENANCE = Provenance(
    "python -m experiments.transfer", "0123456789ab+", "1x Device", "402c6c89d8"
)
KINDS = {
    "config": Config,
    "test": LabelledTest,
    "measured": LabelledMeasured,
    "provenance": Provenance,
}
TRAINED = {"method": "partial", "steps": 500, "accuracy_before": 0.1, "adapt_s": 20.0}
SCRATCH = {
    "method": "scratch",
    "backbone": "conv4-64",
    "weights": "",
    "input_size": 0,
    "steps": 2000,
    "statistics": "batch",
}


def made(lineage: tuple[Stage, ...] = (), **changes: Any) -> LabelledRecord:
    """A record with some settings, measurements, parts of its test or provenance changed."""
    parts = {"config": CONFIG, "test": TEST, "measured": MEASURED, "provenance": PROVENANCE}
    for name, kind in KINDS.items():
        names = {f.name for f in dataclasses.fields(kind)} & set(changes)
        new = {field: changes.pop(field) for field in sorted(names)}
        parts[name] = dataclasses.replace(parts[name], **new)
    assert not changes
    return LabelledRecord(**parts, lineage=lineage)


def write(root: Path, lineage: tuple[Stage, ...] = (), **changes: Any) -> Path:
    """Writes a record where it belongs; its path."""
    record = made(lineage, **changes)
    path = LABELLED.path(root, record)
    write_labelled(path, record, ANSWERS)
    return path


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Three draws of labels of a probe, one partial training, each also with all labels."""
    (tmp_path / "published.csv").write_text(",".join(PUBLISHED[0]._fields) + "\n")
    for seed, accuracy in enumerate((0.70, 0.6, 0.65)):
        command = f"python -m experiments.transfer --labels=5 --seed={seed}"
        write(tmp_path, seed=seed, accuracy=accuracy, adapt_s=0.1 + 0.1 * seed, command=command)
    write(tmp_path, **TRAINED, accuracy=0.68)
    write(tmp_path, labels=0, accuracy=0.9, adapt_s=12.0)
    write(tmp_path, labels=0, **TRAINED | {"steps": 2000}, accuracy=0.93)
    return tmp_path


def tables_of(text: str) -> list[list[dict[str, str]]]:
    """All tables of a text, as lines of cells by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        head, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


@pytest.mark.parametrize("lineage", [(), (BODY,)])
def test_record_read_is_the_one_written(tmp_path: Path, lineage: tuple[Stage, ...]) -> None:
    record = made(lineage, method="lora", steps=500, rank=4, accuracy_before=0.1)
    LABELLED.write(tmp_path / "record.json", record)
    found = LABELLED.read(tmp_path / "record.json")
    assert found.path == tmp_path / "record.json"
    assert found.identity == record.identity and found.pool == record.pool
    assert (found.test, found.measured) == (record.test, record.measured)
    assert found.provenance == record.provenance and found.config == record.config
    assert [stage.train_wall_s for stage in found.lineage] == [s.train_wall_s for s in lineage]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "few"}, "it is not of kind labelled, format 2"),
        ({"format": 1}, "it is not of kind labelled, format 2"),
        ({"config": None}, "wrong or missing config"),
        ({"measured": {"accuracy": 0.5}}, "wrong or missing ci95_low"),
        ({"test": {"images_hash": "a", "images": "b", "best_step": 0}}, "wrong or missing images"),
        ({"config": {"colour": "red"}}, "unknown colour"),
        ({"lineage": None}, "wrong or missing lineage"),
    ],
)
def test_file_that_is_no_record_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = write(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=rf"{path.name} is no record \({said}.*delete it"):
        LABELLED.read_all(tmp_path)


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match="is no record"):
        LABELLED.read(path)


def test_path_tells_dataset_run_and_another_test_of_its_name(tmp_path: Path) -> None:
    first = write(tmp_path)
    name = "probe-ridge-efficientnet-lite0-160px-5labels-seed0"
    assert first == tmp_path / "labelled" / "usps" / f"{name}.json"
    assert write(tmp_path, accuracy=0.8) == first and LABELLED.read(first).measured.accuracy == 0.8
    assert write(tmp_path, class_weights=True) == first.with_stem(f"{name}-2")
    assert write(tmp_path, class_weights=True, accuracy=0.1) == first.with_stem(f"{name}-2")
    own = write(tmp_path, dataset="labelled", labels=0)
    assert own.parent.name == "labelled-402c6c89" and "-all-" in own.name
    assert len(LABELLED.read_all(tmp_path)) == 3


def test_numbers_by_name_are_medians_over_the_seeds_of_one_body(tmp_path: Path) -> None:
    for seed, (one, other) in enumerate([(0.5, 0.7), (0.25, 0.9), (0.4, 0.8)]):
        write(tmp_path, seed=seed, accuracy=one)
        write(tmp_path, (BODY,), seed=seed, accuracy=other)
    found = named_numbers(tmp_path)
    name = "labelled/usps/probe-ridge-efficientnet-lite0-160px-5labels"
    assert (found[name], found[f"{name}-2"]) == (0.4, 0.8)
    assert (found[f"{name}-seed1"], found[f"{name}-seed1-2"]) == (0.25, 0.9)


def test_update_that_was_picked_does_not_make_another_test() -> None:
    assert made(best_step=3).identity == made().identity != made(images_hash="other").identity
    assert made(seed=1, images_hash="other").pool == made().pool != made(labels=1).pool


def test_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = write(tmp_path)
    np.testing.assert_array_equal(read_answers(path), ANSWERS)
    path.with_suffix(".npy").write_bytes(b"torn")
    with pytest.raises(UserError, match="make the record again"):
        read_answers(path)
    path.with_suffix(".npy").unlink()
    with pytest.raises(UserError, match="cannot read"):
        read_answers(path)


def test_row_of_one_seed_has_the_interval_over_images(tmp_path: Path) -> None:
    write(tmp_path, **TRAINED, trained_parameters=1_030_410)
    ((row,),) = tables_of(labelled_markdown(tmp_path))
    assert row == {
        "#": "1",
        "strategy": "partial",
        "body": "efficientnet-lite0 160 px",
        "data": "other images (ImageNet weights)",
        "labels a class": "5",
        "updates": "500",
        "trainable parameters": "1.03 M of 3.38 M",
        "accuracy %": "70.00 (68.00 to 72.00)",
        "macro recall %": "65.00",
        "macro F1 %": "64.00",
        "ECE %": "5.0",
        "before %": "10.00",
        "seconds": "20.0",
        "n": "1",
        "device": "1x Device",
        "commit": "0123456+",
    }


def test_row_of_several_draws_has_their_median_and_range(drawn: Path) -> None:
    (*_, rows) = tables_of(labelled_markdown(drawn))
    assert [(row["strategy"], row["labels a class"]) for row in rows] == [
        ("probe (ridge)", "5"),
        ("probe (ridge)", "all"),
        ("partial", "5"),
        ("partial", "all"),
    ]
    assert rows[0]["accuracy %"] == "65.00 (60.00 to 70.00)" and rows[0]["n"] == "3"
    assert rows[0]["seconds"] == "0.20" and rows[0]["before %"] == "–"


def test_pivots_have_medians_by_labels_and_the_best_in_bold(drawn: Path) -> None:
    accuracy, seconds, _ = tables_of(labelled_markdown(drawn))
    body = "efficientnet-lite0 160 px"
    assert accuracy == [
        {"strategy, body": f"probe (ridge), {body}", "5": "**65.00**", "all": "90.00"},
        {"strategy, body": f"partial, {body}", "5": "68.00 (n 1)", "all": "**93.00**"},
    ]
    assert [(line["5"], line["all"]) for line in seconds] == [
        ("**0.20**", "**12.0**"),
        ("20.0 (n 1)", "20.0"),
    ]


def test_pivot_has_a_dash_where_nothing_was_measured(drawn: Path) -> None:
    write(drawn, **SCRATCH, labels=10)
    (accuracy, *_) = tables_of(labelled_markdown(drawn))
    assert accuracy[-1] == {
        "strategy, body": "scratch, conv4-64",
        "5": "–",
        "10": "**70.00**",
        "all": "–",
    }


def test_one_number_of_labels_has_neither_pivot_nor_plot(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, **TRAINED)
    text = labelled_markdown(tmp_path)
    assert len(tables_of(text)) == 1 and ".svg" not in text
    assert draw_labelled_plots(tmp_path) == []


def test_column_says_what_the_body_saw(tmp_path: Path) -> None:
    rfs = {"method": "fine_tune", "backbone": "conv4-64", "weights": "", "input_size": 0}
    write(tmp_path, dataset="fc100")
    write(tmp_path, (BODY,), dataset="fc100", **rfs)
    write(tmp_path, (BODY,), dataset="fc100", method="fine_tune")
    write(tmp_path, (dataclasses.replace(BODY, config=Config(dataset="omniglot")),), **rfs)
    write(tmp_path, **SCRATCH)
    fc100, usps = tables_of(labelled_markdown(tmp_path))
    other = "other images (ImageNet weights)"
    assert [(row["body"], row["data"]) for row in fc100] == [
        ("efficientnet-lite0 160 px", other),
        ("conv4-64 of rfs", "base classes"),
        ("efficientnet-lite0 160 px of rfs", f"{other}, then base classes"),
    ]
    assert fc100[1]["updates"] == "400 + 0"
    assert [(row["body"], row["data"]) for row in usps] == [
        ("conv4-64 of maml on omniglot", "images of omniglot"),
        ("conv4-64", "these labels alone"),
    ]


def test_validation_classes_have_a_table_of_their_own(tmp_path: Path) -> None:
    for classes in ("test", "valid"):
        write(tmp_path, dataset="fc100", learned=classes)
    assert list(labelled_rows(tmp_path)) == ["fc100", "fc100, valid classes"]
    assert (
        plot_name("fc100, valid classes", "seconds") == "labelled-fc100-valid-classes-seconds.svg"
    )


def test_rows_that_differ_in_a_setting_are_told_apart_by_it(tmp_path: Path) -> None:
    long = {"method": "fine_tune", "labels": 0, "steps": 2000}
    write(tmp_path, method="fine_tune", steps=500, lr=0.1)
    write(tmp_path, method="fine_tune", steps=500, lr=0.2)
    write(tmp_path, **long, lr=0.2)
    write(tmp_path, **long, mixup=0.2, class_weights=True)
    accuracy, _, rows = tables_of(labelled_markdown(tmp_path))
    strategies = [row["strategy"] for row in rows]
    assert strategies == [
        "fine_tune (class weights, mixup 0.2)",
        "fine_tune, lr=0.1",
        "fine_tune, lr=0.2",
        "fine_tune, lr=0.2",
    ]
    assert len(accuracy) == 3


def test_rows_whose_bodies_were_trained_otherwise_are_told_apart(tmp_path: Path) -> None:
    teacher = Stage("teacher", Config(method="rfs", dataset="fc100", steps=400))
    longer = dataclasses.replace(BODY.config, steps=800)
    for body in (
        BODY,
        dataclasses.replace(BODY, config=longer),
        dataclasses.replace(BODY, lineage=(teacher,)),
    ):
        write(tmp_path, (body,), dataset="fc100", weights="")
    names = [row.name for row in labelled_rows(tmp_path)["fc100"]]
    assert len(set(names)) == 3 and any("stage 1 steps=800" in name for name in names)


def test_two_records_of_one_test_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_stem("copy").write_text(path.read_text())
    with pytest.raises(UserError, match=r"copy\.json and .* record the same test; delete one"):
        labelled_markdown(tmp_path)


def test_record_of_a_few_shot_method_is_refused(tmp_path: Path) -> None:
    write(tmp_path, method="maml")
    with pytest.raises(UserError, match="maml trains no classifier; delete it"):
        labelled_csv(tmp_path)


def test_commands_name_the_lines_that_they_made(drawn: Path) -> None:
    write(drawn, (BODY,), weights="", command="python -m a && python -m b --init_from=runs/a")
    text = labelled_markdown(drawn)
    assert "python -m experiments.transfer --labels=5 --seed=2  # 1\n" in text
    assert "python -m experiments.transfer  # 2, 4, 5\n" in text
    assert "python -m a\n    python -m b --init_from=runs/a  # 3\n" in text


def test_section_follows_the_others_and_is_absent_without_records(drawn: Path) -> None:
    text = markdown(drawn)
    assert text.index("## mini_imagenet") < text.index("## Labelled images\n")
    assert text.endswith(labelled_markdown(drawn))
    for path in (drawn / "labelled" / "usps").iterdir():
        path.unlink()
    assert labelled_markdown(drawn) == labelled_csv(drawn) == "" != markdown(drawn)
    assert "Labelled" not in markdown(drawn)


@pytest.mark.parametrize("make", [labelled_markdown, labelled_csv])
def test_order_of_writing_does_not_matter(make: Callable[[Path], str], drawn: Path) -> None:
    other = drawn / "other"
    for record in reversed(LABELLED.read_all(drawn)):
        write_labelled(LABELLED.path(other, record), record, ANSWERS)
    assert make(other) == make(drawn) != ""


def test_csv_has_every_number_of_every_record(drawn: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(labelled_csv(drawn))))
    assert [line["row"] for line in lines] == ["1", "1", "1", "2", "3", "4"]
    assert [line["seed"] for line in lines[:3]] == ["0", "1", "2"]
    by_hand = {"table": "usps", "labels": "5", "accuracy": "0.6", "images": "2007"}
    by_hand |= {"trained_parameters": "12810", "accuracy_before": "", "strategy": "probe (ridge)"}
    assert {name: lines[1][name] for name in by_hand} == by_hand
    for kind in (LabelledTest, LabelledMeasured):
        assert {f.name for f in dataclasses.fields(kind)} <= set(lines[0])


def test_same_records_draw_the_same_bytes(drawn: Path) -> None:
    first = {path.name: path.read_bytes() for path in draw_labelled_plots(drawn)}
    assert sorted(first) == [f"labelled-usps-{kind}.svg" for kind in PLOTS]
    assert {path.name: path.read_bytes() for path in draw_labelled_plots(drawn)} == first
    assert all(f"](results/plots/{name})" in labelled_markdown(drawn) for name in first)
    shown = labelled_digest(labelled_rows(drawn)["usps"])
    for picture in first.values():
        text = picture.decode()
        assert not HASHES.search(text) and shown in text
        assert "partial, efficientnet-lite0 160 px" in text


def test_plots_show_medians_and_ranges_in_percent(drawn: Path) -> None:
    rows = labelled_rows(drawn)["usps"]
    few, every = labelled_points(rows)["probe (ridge), efficientnet-lite0 160 px"]
    assert few == pytest.approx((5, 65.0, 60.0, 70.0, 0.2)) and labels_of(rows) == [5, 0]
    assert every == pytest.approx((0, 90.0, 90.0, 90.0, 12.0))


def test_plot_digest_changes_with_a_record(drawn: Path) -> None:
    before = labelled_digest(labelled_rows(drawn)["usps"])
    write(drawn, seed=1, accuracy=0.61)
    assert labelled_digest(labelled_rows(drawn)["usps"]) != before


def test_tables_program_writes_labelled_csv_and_plots(drawn: Path) -> None:
    said = process("tables", "--results_dir=.", cwd=drawn)
    assert said.code == 0, said
    names = ["labelled.csv", *(f"plots/labelled-usps-{kind}.svg" for kind in PLOTS)]
    assert [line for line in said.out.splitlines() if "labelled" in line] == [
        f"wrote {name}" for name in names
    ]
    assert (drawn / "labelled.csv").read_text() == labelled_csv(drawn)


def test_numbers_and_commits_are_shortened() -> None:
    assert [counted(n) for n in (650, 12_810, 1_030_410)] == ["650", "12.8 k", "1.03 M"]
    assert (short_commit("0123456789ab+"), short_commit("0123456789ab")) == ("0123456+", "0123456")


def test_files_of_labelled_images_in_the_repository_are_up_to_date() -> None:
    results = ROOT / "results"
    path = results / "labelled.csv"
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    said = "is not what its command makes: run python -m experiments.tables"
    assert there == labelled_csv(results), f"{path} {said}"
    for title, rows in labelled_rows(results).items():
        for kind in PLOTS if len(labels_of(rows)) > 1 else ():
            plot = results / "plots" / plot_name(title, kind)
            assert plot.exists() and labelled_digest(rows) in plot.read_text(), f"{plot} {said}"


def test_weights_of_the_first_of_several_trainings_are_other_data() -> None:
    first = Stage("init_from", Config(weights="sha256:0123"))
    later = dataclasses.replace(BODY, config=Config(weights=""), lineage=(first,))
    assert made((later,), weights="").external
    assert not made((dataclasses.replace(later, lineage=()),), weights="").external
