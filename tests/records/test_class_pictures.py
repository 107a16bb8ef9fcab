"""Pictures of classifying a test split: confusion matrices and mistakes of any number."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from metalearn.records import class_pictures
from metalearn.records.class_pictures import draw_confusion, draw_mistakes, worst_mistakes

DARKEST = mpl.colormaps["Blues"](1.0, bytes=True)[:3]
EMPTY_ROW = (0xDD, 0xDD, 0xDD)
PURPLE, ORANGE = (120, 0, 160), (250, 150, 10)


def drawn(path: Path) -> np.ndarray:
    """The pixels of the only file in its folder."""
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(pixels: np.ndarray, colour: tuple[int, ...]) -> int:
    return int((pixels == colour).all(-1).sum())


def area(pixels: np.ndarray) -> int:
    return pixels.shape[0] * pixels.shape[1]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list:
    """The figures that are saved, beside their files."""
    saved = []
    save = class_pictures.save

    def kept(figure: object, path: Path, dpi: int) -> None:
        saved.append(figure)
        save(figure, path, dpi)

    monkeypatch.setattr(class_pictures, "save", kept)
    return saved


@pytest.mark.parametrize("classes", [2, 12, 100])
def test_confusion_matrix_is_drawn(classes: int, tmp_path: Path, figures: list) -> None:
    names = [f"class {i} of a family of fruit" for i in range(classes)]
    counts = 37 * np.eye(classes, dtype=int)
    draw_confusion(counts.tolist(), names, tmp_path / "c.png", "fruit")
    pixels = drawn(tmp_path / "c.png")
    assert max(pixels.shape) < 2200
    axes = figures[0].axes[0]
    written = [text.get_text() for text in axes.texts]
    assert written == (["37"] * classes if classes <= 15 else [])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        shown = [label.get_text() for label in labels]
        assert len(set(shown)) == classes and max(map(len, shown)) <= 24
        assert labels[0].get_fontsize() >= 5
    # The diagonal is a C-th of the matrix, which is about a third of the picture or more
    assert count(pixels, DARKEST) > 0.2 * area(pixels) / classes
    assert count(pixels, EMPTY_ROW) < 0.001 * area(pixels)  # in the edges of letters


def test_names_of_very_many_classes_are_thinned_out(tmp_path: Path, figures: list) -> None:
    names = [f"class {i}" for i in range(250)]
    draw_confusion(np.eye(250, dtype=int), names, tmp_path / "c.png", "fruit")
    labels = figures[0].axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == names[::3]
    assert max(drawn(tmp_path / "c.png").shape) < 2200


def test_confusions_are_coloured_by_the_fraction_of_the_true_class(
    tmp_path: Path, figures: list
) -> None:
    """The second class has a hundred times the images; the third has none."""
    counts = np.array([[3, 1, 0], [100, 300, 0], [0, 0, 0]])
    draw_confusion(counts, ("a", "b", "c"), tmp_path / "c.png", "fruit")
    (image,) = figures[0].axes[0].images
    shares = image.get_array()
    np.testing.assert_allclose(shares[:2], [[75, 25, 0], [25, 75, 0]])
    assert shares.mask[2].all() and not shares.mask[:2].any()
    pixels = drawn(tmp_path / "c.png")
    assert count(pixels, EMPTY_ROW) > 0.1 * area(pixels)
    written = [text.get_text() for text in figures[0].axes[0].texts]
    assert written == ["3", "1", "100", "300"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("number", [0, 1, 6, 7, 24])
def test_mistakes_are_drawn(number: int, channels: int, tmp_path: Path, figures: list) -> None:
    images = np.full((number, 20, 20, channels), (100,) if channels == 1 else PURPLE, np.uint8)
    true = [f"class {i}" for i in range(number)]
    taken = [f"a class that is not number {i}" for i in range(number)]
    sure = np.linspace(1, 0.5, number)
    draw_mistakes(images, true, taken, sure, tmp_path / "m.png", "fruit")
    colour = (100, 100, 100) if channels == 1 else PURPLE
    pixels = drawn(tmp_path / "m.png")
    assert count(pixels, colour) >= number * 170**2
    written = [text.get_text() for text in figures[0].axes[0].texts]
    if not number:
        assert written == ["no mistakes"]
        return
    assert written[:3] == ["class 0", "as a class th…ot number 0", "100 % sure"]
    assert len(written) == 3 * number and written[-3] == true[-1]
    # Nothing reaches the edge, where it would be cut off
    edges = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    assert all((edge == 255).all() for edge in edges)


def test_images_of_mistakes_keep_their_order(tmp_path: Path) -> None:
    images = np.stack([np.full((9, 9, 3), colour, np.uint8) for colour in (PURPLE, ORANGE)])
    draw_mistakes(images, "ab", "ba", (0.9, 0.8), tmp_path / "m.png", "fruit")
    pixels = drawn(tmp_path / "m.png")
    left, right = ((pixels == colour).all(-1).any(0).nonzero()[0] for colour in (PURPLE, ORANGE))
    assert left.max() < right.min()


def test_worst_mistakes_are_the_most_confident() -> None:
    logits = np.array(
        [
            [9, 0, 0],  # right
            [2, 0, 0],
            [5, 0, 0],
            [8, 7, 0],  # the largest logit of a mistake, and not the surest
            [0, 0, 1],  # right
        ],
        np.float32,
    )
    labels = np.array([0, 1, 2, 1, 2])
    assert worst_mistakes(logits, labels, 9).tolist() == [2, 1, 3]
    assert worst_mistakes(logits, labels, 2).tolist() == [2, 1]
    assert worst_mistakes(logits, logits.argmax(1), 9).tolist() == []
    equal = worst_mistakes(np.repeat(logits[1:2], 4, 0), np.array([1, 2, 0, 1]), 9)
    assert equal.tolist() == [0, 1, 3]
