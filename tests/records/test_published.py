"""The published numbers are well formed, and each can be traced; a wrong row is named."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from metalearn.data import READERS
from metalearn.errors import UserError
from metalearn.learners.registry import METHODS
from metalearn.records.published import Published, read_published
from tests.programs import ROOT

PATH = ROOT / "results" / "published.csv"
NOT_OURS = {"easy", "pmf", "pretrained+protonet", "pt-map", "supervised"}
VARIANTS = {"metaoptnet-rr", "metaoptnet-svm", "rfs-distill"}  # of a method of ours, see `known_as`


@pytest.fixture(scope="module")
def published() -> list[Published]:
    return read_published(PATH)


def test_published_numbers_have_a_fixed_digest(published: list[Published]) -> None:
    """A digest of every number and what it is of, to be changed with the file, after a look at the
    source.
    """
    lines = sorted(
        ",".join((p.dataset, p.method, p.backbone, p.ways, p.shots, p.accuracy, p.ci95))
        for p in published
    )
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]) == (
        262,
        "b5a08d544b72d0dc",
    )


def test_published_numbers_are_of_every_dataset(published: list[Published]) -> None:
    counts = Counter(p.dataset for p in published)
    assert set(counts) == {"omniglot", "cifar_fs", "fc100", "mini_imagenet"} <= set(READERS)
    assert min(counts.values()) > 20


def test_published_accuracies_are_above_chance(published: list[Published]) -> None:
    for p in published:
        assert 100 / int(p.ways) < float(p.accuracy) < 100, p
        assert not p.ci95 or 0 < float(p.ci95) < 5, p
        assert not (p.ci95 and p.spread), p


def test_published_accuracies_grow_with_shots(published: list[Published]) -> None:
    def name(p: Published) -> tuple:
        return (
            p.dataset,
            p.method,
            p.backbone,
            p.ways,
            p.transductive,
            p.kind,
            p.source,
            p.protocol,
            p.shots,
        )

    found = {name(p): p for p in published}
    for p in published:
        five = found.get((*name(p)[:-1], "5"))
        assert p.shots == "5" or five is None or float(p.accuracy) < float(five.accuracy), p


def test_published_tests_are_the_usual_ones(published: list[Published]) -> None:
    for p in published:
        assert p.shots in ("1", "5") and p.ways in (
            ("5", "20") if p.dataset == "omniglot" else ("5",)
        ), p


def test_no_published_number_occurs_twice(published: list[Published]) -> None:
    assert not [p for p, n in Counter(published).items() if n > 1]
    by_source = Counter(p._replace(accuracy="", ci95="", spread="") for p in published)
    assert not [p for p, n in by_source.items() if n > 1]


def test_every_published_number_has_a_source(published: list[Published]) -> None:
    assert all(len(p.source) > 3 for p in published)
    text = PATH.read_text()
    assert "MU" not in text and "memory" not in text and "/work" not in text
    assert all(cell == cell.strip() for p in published for cell in p)


def test_published_methods_with_external_data_are_marked(published: list[Published]) -> None:
    assert all(
        p.protocol.startswith("external data: ") == p.backbone.startswith("vit") for p in published
    )


def test_published_methods_are_ours_or_known_not_to_be(published: list[Published]) -> None:
    """A number under another spelling of a method's name would never stand beside ours."""
    names = {p.method for p in published}
    assert names - METHODS.keys() == NOT_OURS | VARIANTS


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("cifar_fs,maml", "line 6: 2 cells, not 12"),
        ("cifar_fs,maml,conv4,5,1,580,,,no,rerun,,x", "line 6: accuracy '580' is no percentage"),
        ("cifar_fs,maml,conv4,5,1,58,nan,,no,rerun,,x", "line 6: ci95 'nan' is no percentage"),
        (
            "cifar_fs,maml,conv4,5,one,58,,,no,rerun,,x",
            "line 6: ways and shots must be whole numbers",
        ),
        (
            "cifar_fs,maml,conv4,5,1,58,,,maybe,rerun,,x",
            "line 6: transductive is yes, no or unknown",
        ),
        (
            "cifar_fs,maml,conv4,5,1,58,,,no,rerun,,",
            "line 6: method, backbone and source must not be empty",
        ),
    ],
)
def test_error_names_a_wrong_published_row(root: Path, row: str, wrong: str) -> None:
    path = root / "published.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(UserError, match=wrong):
        read_published(path)
