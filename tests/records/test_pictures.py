"""Pictures are drawn whole, from whatever a run left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.records.canvas import shorten
from metalearn.records.pictures import draw_curve, draw_episode, warn_if_not_drawn
from metalearn.types import Task

ROWS = [
    {"step": 100, "accuracy": 0.3, "loss": 1.5},
    {"step": 100, "valid_accuracy": 0.35, "valid_ci95": 0.01},
    {"step": 200, "accuracy": 0.4, "loss": 1.2},
]


@pytest.mark.parametrize(
    "rows", [ROWS, ROWS[:1], ROWS[1:2], [], [{"step": 5, "accuracy": 0.5, "images_per_s": 3.0}]]
)
def test_learning_curve_is_drawn_from_any_rows(rows: list[dict], tmp_path: Path) -> None:
    metrics, path = tmp_path / "metrics.jsonl", tmp_path / "curve.png"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw_curve(metrics, path, "maml, glyphs")
    with Image.open(path) as image:
        assert image.size == (840, 480)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.png", "metrics.jsonl"]


def episode(ways: int, shots: int, queries: int, channels: int) -> Task:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ways * (shots + queries), 12, 12, channels), np.uint8)
    support = ways * shots
    labels = np.arange(ways)
    return Task(x[:support], labels.repeat(shots), x[support:], labels.repeat(queries))


def count(path: Path, colour: tuple[int, int, int]) -> int:
    with Image.open(path) as image:
        return int((np.asarray(image.convert("RGB")) == colour).all(-1).sum())


@pytest.mark.parametrize(
    ("ways", "shots", "channels"), [(5, 1, 1), (5, 5, 3), (2, 1, 3), (1, 20, 1)]
)
def test_episode_frames_are_green_for_correct_queries(
    ways: int, shots: int, channels: int, tmp_path: Path
) -> None:
    task, path, green, red = (
        episode(ways, shots, 4, channels),
        tmp_path / "e.png",
        (46, 125, 50),
        (198, 40, 40),
    )
    draw_episode(task, task.query_y, path, "maml, batch")
    all_right = count(path, green)
    assert all_right > 100 and count(path, red) == 0
    wrong = task.query_y.copy()
    wrong[0] += 1
    draw_episode(task, wrong, path, "maml, batch")
    assert 0.5 * all_right < count(path, green) < all_right and count(path, red) > 0
    draw_episode(task, task.query_y + 1, path, "maml, batch")
    assert count(path, green) == 0 and count(path, red) > 100


def test_episode_class_names_are_shortened_to_fit(tmp_path: Path) -> None:
    task = episode(3, 1, 4, 3)
    widths = []
    for i, names in enumerate((("a", "b", "c"), ("a", "b", "Granny-Smith and other apples"))):
        path = tmp_path / f"{i}.png"
        draw_episode(task, (task.query_y + 1) % 3, path, "protonet, running", names)
        with Image.open(path) as image:
            widths.append(image.size[0])
    assert widths[0] < widths[1]
    assert shorten("Granny-Smith", 8) == "Gra…mith" and shorten("kiwi", 8) == "kiwi"


def test_failed_picture_is_one_line_of_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warn_if_not_drawn(tmp_path / "x.png"):
        draw_curve(tmp_path / "none.jsonl", tmp_path / "no" / "folder" / "x.png", "maml")
    said = capsys.readouterr().err
    assert (
        said.startswith(f"warning: {tmp_path / 'x.png'} could not be drawn (")
        and said.count("\n") == 1
    )
