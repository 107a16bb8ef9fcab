"""Contact sheets of augmentation: whole files, of any images."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from metalearn.records.sheet import draw_sheet

COLOURS = np.array([[250, 0, 0], [0, 0, 250], [0, 200, 0]], np.uint8)


def drawn(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(("side", "wide", "columns"), [(12, 12, 4), (8, 20, 2), (20, 10, 1)])
def test_sheet_shows_images_before_their_versions(
    side: int, wide: int, columns: int, tmp_path: Path
) -> None:
    """One red and one blue image, with green versions, all of one size."""
    images = np.broadcast_to(COLOURS[:2, None, None], (2, side, wide, 3))
    versions = np.broadcast_to(COLOURS[2], (2, columns, side, wide, 3))
    path = tmp_path / "sheet.png"
    draw_sheet(images, versions, path, "flip")
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]
    pixels = drawn(path)
    red, blue, green = ((pixels == colour).all(-1) for colour in COLOURS)
    assert red.sum() > 2000 and abs(red.sum() / blue.sum() - 1) < 0.1
    assert abs(green.sum() / (2 * columns * red.sum()) - 1) < 0.1
    rows, cols = np.nonzero(red)
    assert (np.ptp(rows) / np.ptp(cols)) == pytest.approx(side / wide, rel=0.1)
    assert cols.max() < np.nonzero(green)[1].min()
    assert rows.max() < np.nonzero(blue)[0].min()


def test_sheet_of_grey_images_is_as_wide_as_its_title(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 1), np.uint8)
    widths = []
    for title in ("zoom", "flip, crop, jitter, rotate, zoom, salt, noise, cutout"):
        path = tmp_path / "sheet.png"
        draw_sheet(x, x[:, None], path, title)
        pixels = drawn(path)
        assert (pixels == pixels[..., :1]).all(-1).mean() > 0.99
        widths.append(pixels.shape[1])
        dark = (pixels[:20] < 128).all(-1).any(0)
        assert dark.any() and not dark[:3].any() and not dark[-3:].any()
    assert widths[0] < widths[1]


def test_sheet_drawn_by_half_does_not_replace_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Figure, file: Path, **options: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no room")

    x = np.zeros((1, 6, 6, 1), np.uint8)
    path = tmp_path / "sheet.png"
    draw_sheet(x, x[:, None], path, "flip")
    earlier = path.read_bytes()
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="no room"):
        draw_sheet(x, x[:, None], path, "zoom")
    assert path.read_bytes() == earlier
