"""The drawn dataset `glyphs`: small subsets of scripts where possible, the whole of it once."""

from pathlib import Path

import numpy as np
import pytest

from metalearn.data import glyph_classes, glyphs
from metalearn.data.source import Split

NOWHERE = Path("unused")
FEW_SCRIPTS = {"train": ("GREEK",), "valid": ("HEBREW",), "test": ("NKO",)}
LOOKALIKES = (
    "A\u0391\u0410",  # Latin, Greek, Cyrillic
    "H\u0397\u041d",
    "o\u03bf\u043e\u0585",  # and Armenian
    "S\u0405\u054f",
    "U\u054d",  # Latin, Armenian
    "0O\u2d54",  # Latin, Tifinagh
    "I|l\u07ca\u2d4f",  # Latin, N'Ko, Tifinagh
)


@pytest.fixture(scope="module")
def few() -> dict[str, Split]:
    return glyphs.read(NOWHERE, FEW_SCRIPTS)


@pytest.fixture(scope="module")
def whole() -> dict[str, Split]:
    return glyphs.READER.read(NOWHERE)


def char_of(name: str) -> str:
    """The character of a class name such as 'greek/U+03B1'."""
    return chr(int(name.split("U+")[1], 16))


def test_glyphs_are_the_same_bytes_every_time(few: dict[str, Split]) -> None:
    again = glyphs.read(NOWHERE, FEW_SCRIPTS)
    for split in few:
        assert few[split].names == again[split].names
        np.testing.assert_array_equal(few[split].images, again[split].images)


def test_glyph_drawings_depend_on_the_character_alone(few: dict[str, Split]) -> None:
    names = few["valid"].names
    np.testing.assert_array_equal(
        few["valid"].images[-glyphs.DRAWINGS :], glyphs.draw(char_of(names[-1]))
    )


def test_glyph_drawings_of_a_class_differ(few: dict[str, Split]) -> None:
    drawings = few["train"].images.reshape(-1, glyphs.DRAWINGS, glyph_classes.SIDE**2)
    assert all(len(np.unique(of_class, axis=0)) == glyphs.DRAWINGS for of_class in drawings)


def test_script_of_letters_symbols_and_variants() -> None:
    assert [glyph_classes.script_of(char) for char in "aλж7+ب"] == [
        "LATIN",
        "GREEK",
        "CYRILLIC",
        "DIGIT",
        "SYMBOL",
        "ARABIC",
    ]
    # an accented letter, a circled and a superscript digit; a space, a combining mark, a control,
    # private use
    assert {glyph_classes.script_of(char) for char in "\u00e9\u2460\u00b2 \u0301\n\ue000"} == {None}


def test_render_fits_and_fills_the_canvas() -> None:
    for char in "iW\u2192":
        image = glyph_classes.render("DejaVuSans", char)
        assert image is not None
        left, top, right, bottom = image.getbbox() or (0, 0, 0, 0)
        assert abs(max(right - left, bottom - top) - glyph_classes.INK) <= 2
        assert abs(left + right - glyph_classes.CANVAS) <= 3
        assert abs(top + bottom - glyph_classes.CANVAS) <= 3


def test_render_gives_none_for_missing_and_tiny_characters() -> None:
    assert glyph_classes.render("DejaVuSans", "\u4e00") is None  # no Chinese: would be a box
    assert glyph_classes.render("DejaVuSans", ".") is None
    assert glyph_classes.render("STIXGeneral", "\u0628") is None  # Arabic, which STIX lacks


def test_distances_are_small_for_lookalikes_alone() -> None:
    apart = glyph_classes.distances("A\u0391\u0410BW")
    assert apart[:3, :3].max() < 0.01
    assert apart[3, 4] > glyph_classes.ALIKE_ACROSS
    np.testing.assert_allclose(apart, apart.T)


def test_glyphs_fingerprint_names_library_versions() -> None:
    assert all(
        word in glyphs.READER.fingerprint(NOWHERE) for word in ("matplotlib", "pillow", "freetype")
    )


def test_glyphs_shapes_and_counts(whole: dict[str, Split]) -> None:
    enough = {"train": 600, "valid": 100, "test": 200}
    assert list(whole) == list(enough)
    for name, split in whole.items():
        classes = len(split.names)
        assert classes >= enough[name]
        assert split.images.shape == (
            classes * glyphs.DRAWINGS,
            glyph_classes.SIDE,
            glyph_classes.SIDE,
            1,
        )
        assert split.images.dtype == np.uint8
        assert split.counts.dtype == np.int32
        assert (split.counts == glyphs.DRAWINGS).all()
    assert sum(len(split.names) for split in whole.values()) >= 1000


def test_glyph_scripts_are_in_one_split(whole: dict[str, Split]) -> None:
    scripts = [{name.split("/")[0] for name in split.names} for split in whole.values()]
    assert sum(map(len, scripts)) == len(set.union(*scripts))
    names = [name for split in whole.values() for name in split.names]
    assert len(names) == len(set(names))


def test_glyphs_have_no_lookalikes(whole: dict[str, Split]) -> None:
    kept = {char_of(name) for split in whole.values() for name in split.names}
    assert [len(kept & set(group)) for group in LOOKALIKES] == [1] * len(LOOKALIKES)


def test_glyph_test_classes_are_unlike_training_classes(whole: dict[str, Split]) -> None:
    def prototypes(split: Split) -> np.ndarray:  # [C, 784], each of norm 1
        mean = (
            split.images.reshape(len(split.names), glyphs.DRAWINGS, -1).astype(np.float32).mean(1)
        )
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    for held_out in ("valid", "test"):
        assert (prototypes(whole[held_out]) @ prototypes(whole["train"]).T).max() < 0.985


def test_glyphs_have_no_empty_drawings_and_no_boxes(whole: dict[str, Split]) -> None:
    font = glyph_classes.load_face("DejaVuSans").font
    box = bytes(font.getmask(chr(0x10FFFF)))
    for split in whole.values():
        assert split.images.max(axis=(1, 2, 3)).min() > 150
        assert split.images.mean(axis=(1, 2, 3)).min() > 3
        assert split.images.mean() < 80  # ink is high, ground is 0
        assert all(bytes(font.getmask(char_of(name))) != box for name in split.names)
