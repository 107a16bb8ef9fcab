"""The program that measures recognisers of few photographs, on drawn ones."""

from pathlib import Path

import pytest

from metalearn.records.personal import PERSONAL
from metalearn.records.personal_tables import personal_markdown
from tests.programs import program
from tests.test_transfer import draw


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photographs") / "things", images=10)


def words(images: Path, *others: str) -> list[str]:
    places = (f"--data_dir={images}", f"--cache_dir={images.parent / 'cache'}")
    shape = ("--ways=2", "--labels=2", "--draws=3", "--unknown=1", "--input_size=32")
    return ["--dataset=labelled", *places, *shape, *others]


def test_a_measurement_is_recorded(images: Path, tmp_path: Path) -> None:
    results = f"--results_dir={tmp_path}"
    found = program("few_photos", *words(images, "--record", results))
    assert found.code == 0, found.err
    (record,) = PERSONAL.read_all(tmp_path)
    assert record.measured.classes == 2 and record.test.draws == 3
    assert record.measured.accuracy > 0.5  # plain colours
    assert record.measured.auroc is not None and record.measured.expected is not None
    assert "--data_dir" not in record.provenance.command


def test_photos_are_moved_among_unlabelled_ones(images: Path, tmp_path: Path) -> None:
    """Here of the same photographs, so little changes; the record says what was done."""
    results = f"--results_dir={tmp_path}"
    moved = ("--alike=labelled", "--unlabelled=12", "--adapt=transport")
    found = program("few_photos", *words(images, *moved, "--record", results))
    assert found.code == 0, found.err
    (record,) = PERSONAL.read_all(tmp_path)
    assert (record.test.alike, record.test.unlabelled) == ("labelled", 12)
    assert "transport12" in str(record.path)
    assert "transport by up to 12 unlabelled photos of labelled" in personal_markdown(tmp_path)
    assert record.measured.accuracy > 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--ways=9", "--ways"),
        ("--unknown=7", "--unknown"),
        ("--unknown_rate=3", "--unknown_rate=3.0: give more than 0 and at most 1"),
        ("--backbone=resnet7", "resnet7"),
        ("--dataset=nothing", "nothing"),
        ("--adapt=coral", "--adapt is about photos of --alike"),
        ("--alike=grocery_iconi", "grocery_iconi"),
        ("--alike=labelled --unlabelled=3", "3 unlabelled photos: give 5 or more"),
    ],
)
def test_wrong_settings_end_with_one_line(images: Path, given: str, said: str) -> None:
    found = program("few_photos", *words(images, *given.split()))
    assert found.code == 2
    assert found.err.count("error:") == 1 and said in found.err
