"""Tables from a few made-up records; RESULTS.md is what its command makes; a bad file is named in
one line.
"""

import csv
import dataclasses
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.export import latex, table_csv
from metalearn.records.names import method_of, run_slug
from metalearn.records.record import Stage
from metalearn.records.report import known_as, read_records
from metalearn.records.tables import contents, findings, markdown
from tests.made_up import COMMAND, made, write
from tests.programs import ROOT, process

BODY = Stage("init_from", Config(method="rfs", steps=400), (), 50.0)
TEACHER = dataclasses.replace(BODY, role="teacher")


def table(root: Path) -> list[dict[str, str]]:
    """The measured rows of cifar_fs."""
    lines = markdown(root).split("## cifar_fs")[1].split("Test episodes")[0].strip().splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_table_row_has_measured_and_published_numbers(root: Path) -> None:
    baseline, maml = table(root)
    assert maml == {
        "#": "2",
        "method": "maml",
        "backbone": "conv4-32",
        "test": "5-way 1-shot",
        "trained on": "5-way 1-shot, batch, 60000 updates",
        "inductive %": "55.50 ± 0.20 (support; 2 seeds, sd 0.71)",
        "transductive %": "58.50 ± 0.20 (batch; 2 seeds, sd 0.71)",
        "published %": "58.9 ± 1.9 (A paper); rerun 56.8 ± 1.9 (Someone)",
    }
    assert {k for k, v in baseline.items() if v == "–"} == {"transductive %", "published %"}
    found = (baseline["inductive %"], baseline["trained on"])
    assert found == ("58.00 ± 0.20 (running)", "classes, 60000 updates")


def test_summary_has_a_row_of_each_method_beside_the_published(root: Path) -> None:
    write(root, "worse.json", norm="support", transductive=False, accuracy=0.3, steps=100)
    write(root, "few.json", accuracy=0.99, episodes=100)
    write(
        root,
        "p.json",
        method="protonet",
        norm="running",
        transductive=False,
        lineage=(BODY,),
        statistics="clean",
    )
    lines = markdown(root).split("## Summary")[1].split("## ")[0].strip().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| method | cifar_fs, 1-shot |"
    assert table[2:] == [
        "| baseline | 58.00 ± 0.20¹ / – |",
        "| maml | 55.50 ± 0.20 / 58.50 ± 0.20 (58.9 ± 1.9) |",
        "| protonet | 58.00 ± 0.20ᶜᵇ¹ / – |",
    ]


def test_below_a_table_are_episodes_commands_and_published_numbers(root: Path) -> None:
    text = markdown(root)
    assert (
        text.count("- 5-way 1-shot, 15 queries a class: 10000 episodes of seed 0, `abc123`\n") == 1
    )
    assert "python -m experiments.maml --dataset=cifar_fs  # 2, 0123456\n" in text
    assert "python -m experiments.finetune  # 1, 0123456\n" in text
    assert "Published, not beside a measurement above (2)" in text
    assert (
        "| maml | conv4-32 | 5-way 5-shot | 71.5 (± 1 sd of 3 inits) | yes | published |  | A paper |"
        in text
    )
    assert (
        "## omniglot\n\nno run recorded yet; `results/published.csv` has 0 published numbers\n"
        in text
    )


def test_sections_are_listed_with_links_to_them() -> None:
    text = "## cifar_fs\n\ntext\n\n## Active learning\n### cifar100, 5 of 10\n### mnist to usps, a-b\n### cifar_fs\n"
    assert contents(text) == (
        "- [cifar_fs](#cifar_fs)\n- [Active learning](#active-learning): "
        "[cifar100, 5 of 10](#cifar100-5-of-10); [mnist to usps, a-b](#mnist-to-usps-a-b); "
        "[cifar_fs](#cifar_fs-1)\n"
    )


def test_commands_are_below_those_they_continue_from(root: Path) -> None:
    body, head, test = (
        "python -m experiments." + k
        for k in ("finetune --dataset=cifar_fs", "protonet", "evaluate")
    )
    write(root, "a.json", method="protonet", seed=3, command=f"{body} && {head} && {test}")
    write(root, "b.json", method="protonet", seed=4, shots=5, command=f"{body} && {head}")
    assert f"{body}\n    {head}  # 4, 0123456\n        {test}  # 3, 0123456\n" in markdown(root)


def test_table_row_names_an_unusual_number_of_episodes(root: Path) -> None:
    write(root, "a.json", method="protonet", episodes=600)
    assert [row["test"] for row in table(root) if row["method"] == "protonet"] == [
        "5-way 1-shot, 600 episodes"
    ]


def test_variants_of_a_head_have_rows_of_their_own(root: Path) -> None:
    for transform in ("cl2n", "l2"):
        write(root, f"{transform}.json", method="simpleshot", transform=transform)
    write(root, "rfs.json", method="rfs", support_copies=1)
    found = [row["method"] for row in table(root)]
    assert found == ["baseline", "maml", "rfs (1 copy)", "simpleshot", "simpleshot (l2)"]
    slug = run_slug(Config(method="simpleshot", transform="l2"), "running")
    assert slug == "simpleshot-conv4-64-5w1s-l2-running-seed0"
    assert (
        method_of(Config(method="rfs", dataset="omniglot")) == "rfs"
    )  # mirrored characters are others


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"method": "metaoptnet"}, "metaoptnet-svm-conv4-64"),
        ({"method": "metaoptnet", "head": "ridge", "init_from": "RUN"}, "metaoptnet-init-conv4-64"),
        (
            {"method": "matchingnet", "contextual": True, "init_from": "RUN"},
            "matchingnet-contextual-init-conv4-64",
        ),
        ({"method": "protonet", "distance": "cosine"}, "protonet-cosine-conv4-64"),
        ({"method": "imaml", "proximal_every_step": True}, "imaml-pulled-conv4-64"),
        (
            {"method": "baseline", "rotation": True, "teacher": "RUN"},
            "baseline-rotation-distilled-conv4-64",
        ),
    ],
)
def test_variants_of_a_training_have_file_names_of_their_own(settings: dict, name: str) -> None:
    found = [run_slug(Config(**s), "running") for s in (settings, {"method": settings["method"]})]
    assert found[0] == f"{name}-5w1s-running-seed0" and (found[0] != found[1] or len(settings) == 1)


def test_findings_are_filled_in_with_numbers_of_records(root: Path) -> None:
    one, other = (
        "cifar_fs/maml-conv4-32-5w1s-batch-seed0",
        "cifar_fs/maml-conv4-32-5w1s-support-seed0",
    )
    (root / "findings.md").write_text(f"## Found\n\nFrom {{{one}}} by {{{other} - {one}}}.\n")
    first, second = (measured(root / f"{name}.json") for name in (one, other))
    said = f"{100 * first['accuracy']:.2f} ± {100 * first['ci95']:.2f}"
    points = f"{100 * (second['accuracy'] - first['accuracy']):+.2f}"
    assert f"\n\n## Found\n\nFrom {said} by {points}.\n" in findings(root)
    every = one.removesuffix("-seed0")
    (root / "findings.md").write_text(f"{{{every}}}, {{{other} - {every}}}")
    of_seeds = fmean(measured(root / f"{every}-seed{k}.json")["accuracy"] for k in (0, 1))
    assert (
        f"\n{100 * of_seeds:.2f} ± {said[-4:]}, {100 * (second['accuracy'] - of_seeds):+.2f}"
        in findings(root)
    )
    again = f"{one}-2"  # of another command: not a seed of the same row
    write(root, f"{Path(again).name}.json", steps=100, accuracy=0.25)
    (root / "findings.md").write_text(f"{{{again}}}, {{{again} - {one}}}")
    assert f"\n25.00 ± {said[-4:]}, {25 - 100 * first['accuracy']:+.2f}" in findings(root)
    write(root, f"{Path(every).name}-seed1-2.json", seed=1, steps=100, accuracy=0.5)
    (root / "findings.md").write_text(f"{{{every}-2}}")
    assert f"\n37.50 ± {said[-4:]}" in findings(root)
    for seed in (0, 1):
        (root / f"{every}-seed{seed}-2.json").unlink()
    (root / "findings.md").write_text(f"{{{every}}}")
    write(root, f"{Path(every).name}-seed1.json", seed=1, steps=100)
    with pytest.raises(UserError, match=f"no record {every}: "):
        findings(root)
    (root / "findings.md").write_text("{cifar_fs/none}")
    with pytest.raises(UserError, match="no record cifar_fs/none"):
        findings(root)


def measured(path: Path) -> dict:
    return json.loads(path.read_text())["measured"]


def test_only_seeds_are_pooled(root: Path) -> None:
    write(root, seed=2, inner_lr=0.1)
    write(root, seed=3, steps=100)
    maml = [row for row in table(root) if row["method"] == "maml"]
    assert sorted("2 seeds" in row["transductive %"] for row in maml) == [False, False, True]


def test_a_later_test_of_a_run_is_pooled_with_the_run(root: Path) -> None:
    write(root, seed=2, inner_lr=0.1)
    again = f"{COMMAND} && python -m experiments.evaluate --test_norms=support --workdir=runs/x"
    support = {"norm": "support", "transductive": False}
    write(root, seed=2, inner_lr=0.1, test_norms="support", command=again, accuracy=0.4, **support)
    row = next(row for row in table(root) if row["inductive %"].startswith("40.00"))
    assert row["transductive %"] == "58.00 ± 0.20 (batch)"


def test_other_images_with_the_same_settings_are_another_table(root: Path) -> None:
    for images in ("aaaaaaaa11111111", "bbbbbbbb22222222"):
        write(root, dataset="folder", images=images)
    text = markdown(root)
    assert "## folder-aaaaaaaa\n" in text and "## folder-bbbbbbbb\n" in text
    names = sorted(str(path.relative_to(root)) for path in root.glob("folder-*/*.json"))
    stem = "maml-conv4-32-5w1s-batch-seed0.json"
    assert names == [f"folder-aaaaaaaa/{stem}", f"folder-bbbbbbbb/{stem}"]


def test_other_images_of_a_published_data_set_are_another_row(root: Path) -> None:
    write(root, "other.json", images="aaaaaaaa11111111")
    maml = [row["transductive %"] for row in table(root) if row["method"] == "maml"]
    assert sorted("2 seeds" in found for found in maml) == [False, True]


def test_clean_statistics_are_named_and_not_pooled_with_those_of_training(root: Path) -> None:
    own = {"method": "rfs", "norm": "running", "transductive": False, "support_copies": 5}
    for seed, statistics in enumerate(("training", "clean")):
        write(root, f"{statistics}.json", seed=seed, statistics=statistics, **own)
    found = sorted(row["inductive %"] for row in table(root) if row["method"] == "rfs")
    assert found == ["58.00 ± 0.20 (running)", "58.00 ± 0.20 (running, clean)"]


def test_two_inductive_tests_are_two_rows(root: Path) -> None:
    write(root, norm="running", transductive=False, accuracy=0.3)
    maml = [row for row in table(root) if row["method"] == "maml"]
    assert [row["inductive %"].split(" (")[1] for row in maml] == [
        "running)",
        "support; 2 seeds, sd 0.71)",
    ]
    assert [row["transductive %"] for row in maml] == [
        "58.50 ± 0.20 (batch; 2 seeds, sd 0.71)",
        "–",
    ]


@pytest.mark.parametrize(
    ("backbone", "first"),
    [
        ("conv4-64", "58.9 ± 1.9 (A paper; conv4-32)"),
        ("resnet12-flat", "70.1 (Another; resnet12; inductive)"),
        ("mlp", "–"),
    ],
)
def test_published_numbers_are_of_the_nearest_backbone(
    root: Path, backbone: str, first: str
) -> None:
    write(root, backbone=backbone)
    row = next(row for row in table(root) if row["backbone"] == backbone)
    assert row["published %"].split("; rerun")[0] == first
    if backbone == "resnet12-flat":  # theirs is inductive, ours transductive
        lines = csv.DictReader(io.StringIO(table_csv(root)))
        found = next(line for line in lines if line["backbone"] == backbone)
        assert found["difference_transductive"] == ""


def test_heads_on_different_bodies_are_two_rows(root: Path) -> None:
    own = {"method": "simpleshot", "transform": "l2", "norm": "running", "transductive": False}
    turned = {"rotation": True}
    for seed, how in enumerate(({}, {}, turned, turned | {"all_turns": True})):
        write(root, f"{seed}.json", seed=seed, **own, **how)
    found = [row for row in table(root) if row["method"] == "simpleshot (l2)"]
    told = sorted((row["trained on"], "2 seeds" in row["inductive %"]) for row in found)
    assert told == [
        ("classes, 60000 updates", True),
        ("classes, rotations, 60000 updates", False),
        ("classes, rotations, all turns, 60000 updates", False),
    ]


def test_earlier_stages_are_named_and_pooled_over_their_seeds(root: Path) -> None:
    for seed, stage in enumerate((BODY, reseeded(BODY, 1), changed(BODY, steps=800), TEACHER)):
        write(root, f"{seed}.json", method="protonet", seed=seed, lineage=(stage,))
    rows = [row for row in table(root) if row["method"] == "protonet"]
    told = sorted(
        (row["trained on"].partition("batch, ")[2], "2 seeds" in row["transductive %"])
        for row in rows
    )
    assert told == [
        ("distilled, 400 + 60000 updates", False),
        ("from a trained body, 400 + 60000 updates", True),
        ("from a trained body, 800 + 60000 updates", False),
    ]


def test_what_is_special_of_earlier_stages_is_told(root: Path) -> None:
    turned = changed(BODY, rotation=True, all_turns=True)
    pupil = dataclasses.replace(BODY, lineage=(dataclasses.replace(TEACHER, lineage=(turned,)),))
    for seed, stage in enumerate((turned, pupil)):
        write(root, f"{seed}.json", method="protonet", seed=seed, lineage=(stage,))
    rows = [row["trained on"] for row in table(root) if row["method"] == "protonet"]
    assert sorted(told.partition("body, ")[2] for told in rows) == [
        "400 (rotations, all turns) + 400 + 400 (distilled) + 60000 updates",
        "400 (rotations, all turns) + 60000 updates",
    ]


def changed(stage: Stage, **settings: object) -> Stage:
    return dataclasses.replace(stage, config=dataclasses.replace(stage.config, **settings))


def reseeded(stage: Stage, seed: int) -> Stage:
    return changed(stage, seed=seed)


@pytest.mark.parametrize(
    ("settings", "lineage", "name"),
    [
        ({"method": "maml", "head": "ridge"}, (), "maml"),
        ({"method": "metaoptnet"}, (), "metaoptnet-svm"),
        ({"method": "metaoptnet", "head": "ridge"}, (), "metaoptnet-rr"),
        ({"method": "rfs"}, (TEACHER,), "rfs-distill"),
        ({"method": "simpleshot"}, (TEACHER,), "simpleshot"),
        ({"method": "rfs"}, (dataclasses.replace(BODY, lineage=(TEACHER,)),), "rfs"),
    ],
)
def test_variants_have_names_of_their_own_in_published_csv(
    settings: dict, lineage: tuple[Stage, ...], name: str
) -> None:
    record = dataclasses.replace(made(Config(**settings), "running"), lineage=lineage)
    assert known_as(record) == name


def test_csv_and_latex_have_the_measured_rows(root: Path) -> None:
    baseline, maml = csv.DictReader(io.StringIO(table_csv(root)))
    assert (maml["inductive_accuracy"], maml["inductive_seeds"], maml["published_accuracy"]) == (
        "0.555",
        "0 1",
        "58.9",
    )
    assert (maml["trained_on"], maml["all_steps"]) == (
        "5-way 1-shot, batch, 60000 updates",
        "60000",
    )
    assert (maml["difference_inductive"], maml["difference_transductive"]) == ("-3.4", "-0.4")
    assert (baseline["transductive_accuracy"], baseline["published_accuracy"]) == ("", "")
    text = latex(root)
    assert (
        r"  maml & conv4-32 & 5-way 1-shot & 5-way 1-shot, batch, 60000 updates & 55.50 $\pm$ 0.20 (support; 2"
        in text
    )
    assert text.count(r"\toprule") == text.count(r"\end{table}") == 1 and r"cifar\_fs" in text


@pytest.mark.parametrize("make", [markdown, latex, table_csv])
def test_same_records_make_the_same_bytes(make: Callable[[Path], str], root: Path) -> None:
    first = make(root)
    files = sorted((path.name, path.read_text()) for path in (root / "cifar_fs").iterdir())
    shutil.rmtree(root / "cifar_fs")
    (root / "cifar_fs").mkdir()
    for name, text in reversed(files):
        (root / "cifar_fs" / name).write_text(text)
    assert make(root) == first


def test_readme_numbers_are_those_of_the_tables() -> None:
    shown = re.findall(r"\d+\.\d+ ± \d+\.\d+", (ROOT / "README.md").read_text(encoding="utf-8"))
    pages = ("RESULTS.md", "docs/findings.md")
    tables = "".join((ROOT / page).read_text(encoding="utf-8") for page in pages)
    measured = [record.measured for record in read_records(ROOT / "results")]
    before = [(m.accuracy_before, m.ci95_before) for m in measured if m.accuracy_before is not None]
    known = {f"{100 * accuracy:.2f} ± {100 * ci95:.2f}" for accuracy, ci95 in before}
    assert len(shown) > 5 and [n for n in shown if n not in tables and n not in known] == []


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("RESULTS.md", markdown),
        ("docs/findings.md", findings),
        ("results/table.csv", table_csv),
        ("results/table.tex", latex),
    ],
)
def test_tables_in_the_repository_are_up_to_date(name: str, make: Callable[[Path], str]) -> None:
    said = f"{name} is not what its command makes: run python -m experiments.tables"
    assert (ROOT / name).read_text(encoding="utf-8") == make(ROOT / "results"), said


def test_two_records_of_one_test_are_refused(root: Path) -> None:
    write(root, "copy.json")
    with pytest.raises(UserError, match="record the same test; delete one"):
        markdown(root)


def test_tables_program_writes_all_files_and_its_errors_are_one_line(root: Path) -> None:
    said = process(
        "tables", f"--results_dir={root}", "--csv=t.csv", "--latex", "t.tex", "--noplots", cwd=root
    )
    assert said.code == 0 and said.out.split() == [
        "wrote",
        "RESULTS.md",
        "wrote",
        "t.csv",
        "wrote",
        "t.tex",
    ], said
    assert (root / "RESULTS.md").read_text(encoding="utf-8") == markdown(root)
    assert "  --results_dir: folder of the records" in process("tables", "--help", cwd=root).out
    assert process("tables", "--results_dir=nowhere", cwd=root).complaint.startswith(
        "cannot read nowhere/published.csv: "
    )
