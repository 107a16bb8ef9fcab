"""Records of domain adaptation, what they say, and their tables."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.domains.trial import Outcome
from metalearn.domains.types import Adapted, unchanged
from metalearn.errors import UserError
from metalearn.records.domain_pictures import draw_domains, flat
from metalearn.records.domains import NOTHING, DomainsMeasured, DomainsRecord, DomainsTest
from metalearn.records.domains_plots import draw_domains_plots
from metalearn.records.domains_rows import DomainsRow, choices, domains_rows
from metalearn.records.domains_store import DOMAINS
from metalearn.records.domains_tables import domains_csv, domains_markdown
from metalearn.records.findings import filled
from metalearn.records.named_numbers import named_numbers
from metalearn.records.record import Provenance, Stage

PLAIN = [[0.5], [0.6]]
BETTER = [[0.6], [0.7]]
WORSE = [[0.4, 0.9], [0.5, 0.8]]


def measured(accuracy: list[list[float]], validators: list[list[list[float]]]) -> DomainsMeasured:
    same = [accuracy] * 6
    distance = [[1.5] * len(draw) for draw in accuracy]
    return DomainsMeasured(*same, distance, distance, distance, validators)


def record(method: str, accuracy: list[list[float]], **changes: object) -> DomainsRecord:
    number = len(accuracy[0])
    test = DomainsTest(
        method=method,
        source="mnist",
        target="usps",
        pixels=16,
        classifier="nearest",
        images=1000,
        target_labels=0,
        choices=["defaults", "regularisation 0.01"][:number],
        validators=["entropy", "dev"],
        draws=2,
        images_hash="0123+4567",
        source_images=100,
        target_images=200,
    )
    # Entropy prefers the last settings, dev the first
    scores = [[[float(place), -float(place)] for place in range(number)]] * 2
    command = f"python -m experiments.adapt --methods={method}"
    provenance = Provenance(command, "0123456789ab", "2x CPU", "abcd+efgh")
    config = Config(method="probe", dataset="mnist")
    found = DomainsRecord(config, test, measured(accuracy, scores), (), provenance)
    return dataclasses.replace(found, test=dataclasses.replace(test, **changes))


def written(root: Path, *records: DomainsRecord) -> list[Path]:
    paths = []
    for each in records:
        paths.append(DOMAINS.path(root, each))
        DOMAINS.write(paths[-1], each)
    return paths


def test_record_read_is_the_one_written(tmp_path: Path) -> None:
    (path,) = written(tmp_path, record("coral", WORSE))
    assert DOMAINS.read(path) == dataclasses.replace(record("coral", WORSE), path=path)
    assert path.parent.name == "mnist-to-usps"


@pytest.mark.parametrize(
    "changes",
    [{"pixels": 0}, {"target_labels": 3}, {"images": 50}, {"images_hash": "89ab+cdef"}],
    ids=str,
)
def test_other_tests_have_other_files(tmp_path: Path, changes: dict[str, object]) -> None:
    paths = written(tmp_path, record("coral", BETTER), record("coral", BETTER, **changes))
    assert len(set(paths)) == 2 and len(DOMAINS.read_all(tmp_path)) == 2
    assert len(domains_rows(tmp_path)) == 2


def test_what_a_method_chose_is_kept_with_each_draw_and_shown(tmp_path: Path) -> None:
    """A record of a version that did not keep it goes on without."""
    z = np.zeros((2, 1))
    outcome = Outcome((0.5,) * 3, (0.5,) * 3, [0.1], 1.0, 0.1, 0.1)
    adapted = [Adapted(z, np.ones(2), unchanged, f"sample size {n}") for n in (7, 8)]
    (first, second) = [dataclasses.replace(outcome, adapted=each) for each in adapted]
    both = NOTHING.with_draw([first]).with_draw([second])
    assert both.notes == [["sample size 7"], ["sample size 8"]]
    assert dataclasses.replace(both, notes=[]).with_draw([first]).notes == []
    assert NOTHING.with_draw([outcome]).notes == []
    noted = dataclasses.replace(
        record("kmm", PLAIN),
        measured=dataclasses.replace(record("kmm", PLAIN).measured, notes=both.notes),
    )
    (path,) = written(tmp_path, noted)
    assert DOMAINS.read(path).measured.notes == both.notes
    assert "- kmm: sample size 7\n" in domains_markdown(tmp_path)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("measured", "notes", [["one"]]),
        ("measured", "target_accuracy", [[0.1], [1.3]]),
        ("measured", "source_recall", [[0.1]]),
        ("measured", "distance", [[0.1], [2.5]]),
        ("measured", "distance", [[0.1], [None]]),
        ("measured", "validators", [[[0.1]], [[0.1]]]),
        ("measured", "fit_s", None),
        ("test", "choices", []),
        ("test", "draws", "two"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, part: str, name: str, value: object) -> None:
    (path,) = written(tmp_path, record("recentre", BETTER))
    found = json.loads(path.read_text())
    found[part][name] = value
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match=f"{path.name}.*{name}"):
        DOMAINS.read_all(tmp_path)


def test_draws_are_added_one_by_one() -> None:
    adapted = Adapted(np.zeros((1, 1)), np.ones(1), unchanged, "")
    one = Outcome((0.9, 0.8, 0.7), (0.6, 0.5, 0.4), [1.0, 2.0], 1.25, 0.1, 0.2, adapted)
    found = NOTHING.with_draw([one, one]).with_draw([one, one])
    assert found.source_accuracy == [[0.9, 0.9]] * 2 and found.target_f1 == [[0.4, 0.4]] * 2
    assert found.validators == [[[1.0, 2.0]] * 2] * 2 and found.distance == [[1.25] * 2] * 2


def test_gains_are_paired_with_the_source_alone(tmp_path: Path) -> None:
    written(tmp_path, record("coral", WORSE), record("recentre", BETTER), record("none", PLAIN))
    (rows,) = domains_rows(tmp_path).values()
    (plain, coral, recentre) = rows
    assert (plain.name, coral.name, recentre.name) == ("none", "coral", "recentre")
    assert plain.gain is None and coral.gain is not None and recentre.gain is not None
    assert recentre.gain.mean == pytest.approx(0.1) and not recentre.gain.negative
    assert coral.gain.mean == pytest.approx(-0.1) and coral.gain.negative


def test_validators_choose_without_labels_and_the_oracle_with_them(tmp_path: Path) -> None:
    written(tmp_path, record("coral", WORSE), record("none", PLAIN))
    (rows,) = domains_rows(tmp_path).values()
    (entropy, dev, oracle) = choices(rows)
    np.testing.assert_allclose(entropy.accuracy, [0.9, 0.8])
    assert entropy.often == "coral (regularisation 0.01)" and entropy.times == 2
    np.testing.assert_allclose(dev.accuracy, [0.5, 0.6])  # of equal scores the first
    assert dev.often == "none"
    np.testing.assert_allclose(oracle.accuracy, [0.9, 0.8])


def test_table_shows_gains_and_flags_negative_transfer(tmp_path: Path) -> None:
    written(tmp_path, record("coral", WORSE), record("recentre", BETTER), record("none", PLAIN))
    text = domains_markdown(tmp_path)
    assert "### mnist to usps, pixels16, nearest, 1000 images\n" in text
    assert "| **65.00** (+10.00 ± 0.00) |" in text
    assert "| 45.00 (-10.00 ± 0.00, **negative**) |" in text
    assert "| oracle | 85.00" in text and "Sun et al. 2016" in text
    assert "python -m experiments.adapt --methods=coral" in text


def test_csv_has_a_line_for_each_method_and_settings(tmp_path: Path) -> None:
    written(tmp_path, record("coral", WORSE), record("none", PLAIN))
    lines = domains_csv(tmp_path).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("table,method,settings,draws,seed,source_accuracy")
    assert "by_entropy,by_dev" in lines[0]


def test_two_records_of_the_same_test_are_refused(tmp_path: Path) -> None:
    (path,) = written(tmp_path, record("none", PLAIN))
    path.with_name("copy.json").write_text(path.read_text())
    with pytest.raises(UserError, match="of the same test"):
        domains_markdown(tmp_path)


def test_plots_are_the_same_for_the_same_records(tmp_path: Path) -> None:
    written(tmp_path, record("recentre", BETTER), record("none", PLAIN))
    (path,) = draw_domains_plots(tmp_path)
    first = path.read_bytes()
    draw_domains_plots(tmp_path)
    assert path.read_bytes() == first and b"recentre" in first


def test_no_records_are_no_section(tmp_path: Path) -> None:
    assert domains_markdown(tmp_path) == "" and domains_csv(tmp_path) == ""


def test_texts_name_accuracies_in_the_target(tmp_path: Path) -> None:
    (path,) = written(tmp_path, record("recentre", BETTER))
    text = tmp_path / "findings.md"
    text.write_text(f"{{{path.relative_to(tmp_path).with_suffix('')}}}")
    assert filled(text, {}, named_numbers(tmp_path)) == "65.00"
    (path,) = written(tmp_path, record("coral", WORSE))
    name = path.relative_to(tmp_path).with_suffix("")
    text.write_text(f"{{{name}}} {{{name}@entropy}} {{{name}@dev}} {{{name}@oracle}}")
    assert filled(text, {}, named_numbers(tmp_path)) == "45.00 85.00 45.00 85.00"


def trained(method: str, accuracy: list[list[float]], **settings: object) -> DomainsRecord:
    """Of a body that a method trains; some begin from that of the source alone."""
    names = ["update 20", "update 10"][: len(accuracy[0])]
    found = record(method, accuracy, pixels=0, classifier="trained", images=0, choices=names)
    given = {"method": method, "dataset": "mnist", "target": "usps", "backbone": "lenet"}
    config = dataclasses.replace(Config(), **(given | {"steps": 20} | settings))
    begins = method in ("shot", "ada_bn")
    before = dataclasses.replace(config, method="source_only", steps=20, penalty=1.0)
    lineage = (Stage("init_from", before, (), 3.0),) if begins else ()
    return dataclasses.replace(found, config=config, lineage=lineage)


def test_trained_bodies_share_a_table_with_the_training_that_they_begin_from(
    tmp_path: Path,
) -> None:
    records = [
        trained("source_only", [[0.5, 0.4], [0.6, 0.5]]),
        trained("dann", [[0.7, 0.8], [0.7, 0.9]], penalty=0.5),
        trained("shot", [[0.8, 0.6], [0.9, 0.7]]),
        trained("ada_bn", [[0.6], [0.7]], steps=0),
    ]
    written(tmp_path, *records, trained("mcc", [[0.5], [0.5]], lr=0.5))
    weights = trained("dann", [[0.7, 0.7], [0.7, 0.7]])
    written(tmp_path, weights)
    (rows, others) = sorted(domains_rows(tmp_path).values(), key=len, reverse=True)
    names = ["source_only", "ada_bn", "dann", "dann (penalty 0.5)", "shot"]
    assert [row.said for row in rows] == names
    assert [row.name for row in others] == ["mcc"] and others[0].gain is None
    assert rows[3].gain is not None and rows[3].gain.mean == pytest.approx(0.15)
    fewer = dataclasses.replace(rows[3].record.test, draws=1)
    assert DomainsRow(dataclasses.replace(rows[3].record, test=fewer), rows[0].record).gain is None
    text = domains_markdown(tmp_path)
    assert "### mnist to usps, lenet, trained, 20 updates, not augmented\n" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| dann (penalty 0.5) | ")]
    # The last update; what entropy, dev and the oracle would keep
    assert line == "| dann (penalty 0.5) | 70.00 | 85.00 | 70.00 | 85.00 |"


def test_what_a_trained_body_begins_from_is_no_other_test() -> None:
    other = trained("shot", [[0.8], [0.9]])
    again = dataclasses.replace(other, lineage=())
    assert other.identity == again.identity
    assert other.identity != trained("shot", [[0.8], [0.9]], penalty=0.5).identity


@pytest.mark.parametrize("size", [1, 4])
def test_pictures_have_two_axes_whatever_there_is(tmp_path: Path, size: int) -> None:
    random = np.random.default_rng(0)
    (source, target) = (random.normal(size=(9, size)), 3 + random.normal(size=(7, size)))
    assert flat(source, "pca").shape == (9, 2)
    assert size > 1 or flat(source, "tsne").shape == (9, 2)  # slow, and a single feature is harder
    path = tmp_path / "picture.png"
    draw_domains((source, target), (source, target), path, "both")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="unknown picture"):
        flat(source, "map")
