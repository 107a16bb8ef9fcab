"""What a classifier's run leaves for people: a report in Markdown, and pictures."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from metalearn.classifiers.run import Classified
from metalearn.data.augment import augmentation
from metalearn.files import write_text
from metalearn.records.class_pictures import draw_confusion, draw_mistakes, worst_mistakes
from metalearn.records.classified import markdown
from metalearn.records.pictures import draw_curve, warn_if_not_drawn
from metalearn.records.sheet import draw_sheet
from metalearn.runtime import quick_jit
from metalearn.training.material import Material
from metalearn.training.state import Run
from metalearn.types import random_key

MISTAKES = 18  # that are shown
ROWS, VERSIONS = 6, 8  # of the sheet of augmented images


def write_report(run: Run, material: Material, found: Classified) -> list[Path]:
    """Write report.md and its pictures into the run's folder.

    Args:
      run: settings and folder.
      material: whose images are shown.
      found: what was tested.

    Returns:
      The files, the report first.
    """
    (config, workdir, _) = run
    title = f"{config.dataset}, {config.method} of {config.backbone}"
    names = material.labelled.names
    drawn: dict[str, Callable[[Path], None]] = {
        "confusion.png": lambda path: draw_confusion(found.after.confusion, names, path, title),
        "mistakes.png": lambda path: _draw_mistakes(material, found, path, title),
    }
    if (workdir / "metrics.jsonl").exists():
        metrics = workdir / "metrics.jsonl"
        drawn["curve.png"] = lambda path: draw_curve(metrics, path, title, "images")
    if config.steps and config.augment != "none":
        drawn["augmentation.png"] = lambda path: _draw_sheet(material, config.augment, path)
    for name, draw in drawn.items():
        with warn_if_not_drawn(workdir / name):
            draw(workdir / name)
    there = [name for name in drawn if (workdir / name).exists()]
    report = workdir / "report.md"
    write_text(report, markdown(title, found.before, found.after, there))
    return [report, *(workdir / name for name in there)]


def _draw_mistakes(material: Material, found: Classified, path: Path, title: str) -> None:
    test = material.labelled.test
    names = material.labelled.names
    worst = worst_mistakes(found.logits, test.labels, MISTAKES)
    images = getattr(material.dataset, test.split).images[test.rows[worst]]
    sure = softmax(found.logits[worst].astype(np.float64), 1)
    true = [names[label] for label in test.labels[worst]]
    predicted = [names[label] for label in found.logits[worst].argmax(1)]
    draw_mistakes(images, true, predicted, sure.max(1), path, f"{title}: the surest mistakes")


def _draw_sheet(material: Material, augment: str, path: Path) -> None:
    """Draw what augmentation makes of some training images, of as many classes."""
    transform = augmentation(augment)
    assert transform is not None
    train = material.labelled.train
    chosen = train.rows[np.linspace(0, len(train.rows) - 1, ROWS).astype(int)]
    images = np.asarray(getattr(material.dataset, train.split).images[chosen])
    keys = jax.random.split(random_key(0), VERSIONS)
    versions = quick_jit(jax.vmap(transform, (0, None), 1))(keys, jnp.asarray(images))
    draw_sheet(images, np.asarray(versions), path, f"--augment={augment}")
