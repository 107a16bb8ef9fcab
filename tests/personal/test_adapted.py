"""Meta-trained runs as the model of a recogniser."""

from pathlib import Path

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data.snapshots import Snapshot, from_pixels
from metalearn.errors import UserError
from metalearn.learners.method import make_method
from metalearn.personal.adapted import adapted
from metalearn.personal.answers import answer
from metalearn.personal.changing import added
from metalearn.personal.fitting import fit
from metalearn.personal.model import Maker
from metalearn.personal.opening import load_fitted, save_fitted
from metalearn.training.trained import Best, Trained
from metalearn.types import InputSpec, random_key
from tests.personal.made import NAMES, picture

SIDE = 16
INPUTS = InputSpec((SIDE, SIDE), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def maker(method: str, **changes: object) -> Maker:
    """A run with drawn weights: by their features colours are told apart, too."""
    norm = "running" if method == "protonet" else "batch"
    given = {"method": method, "backbone": "conv2-8", "norm": norm, "ways": 3, "train_ways": 3}
    config = Config(**(given | changes)).with_defaults()
    x = np.random.default_rng(0).normal(size=(4, *INPUTS.shape)).astype(np.float32)
    ready = make_method(config, 4)
    meta = ready.train.init(random_key(0), x)
    moments = ready.test(ready.norms[0]).moments
    if moments is not None:
        meta = meta | {"moments": moments(meta, x)}
    return adapted(config, Trained(meta, INPUTS, Best()))


def things(*counts: int, first: int = 0) -> dict[str, list[Snapshot]]:
    return {
        NAMES[label]: [
            from_pixels(picture(label, i), SIDE, f"{label}-{i}")
            for i in range(first, first + count)
        ]
        for label, count in enumerate(counts)
    }


def asked() -> list[Snapshot]:
    return [shot for some in things(2, 2, 2, first=9).values() for shot in some]


@pytest.mark.parametrize("method", ["protonet", "maml", "proto_maml"])
def test_a_run_tells_photos_apart(method: str) -> None:
    fitted = fit(maker(method, test_inner_steps=10, inner_lr=0.1), things(3, 2, 3))
    labels = [one.label for one in answer(fitted, asked())]
    assert np.mean([a == b for a, b in zip(labels, np.repeat(NAMES[:3], 2), strict=True)]) > 0.6


@pytest.mark.parametrize("method", ["protonet", "maml"])
def test_no_answer_depends_on_another_photo(method: str) -> None:
    fitted = fit(maker(method), things(2, 2, 2))
    (alone,) = answer(fitted, asked()[:1])
    (first, *_) = answer(fitted, asked())
    np.testing.assert_allclose(first.probabilities, alone.probabilities, atol=1e-5)


@pytest.mark.parametrize("method", ["protonet", "maml"])
def test_file_of_a_run_gives_the_same_answers(method: str, tmp_path: Path) -> None:
    fitted = fit(maker(method), things(2, 2, 2))
    save_fitted(fitted, tmp_path / "run.recogniser")
    loaded = load_fitted(tmp_path / "run.recogniser")
    for one, other in zip(answer(fitted, asked()), answer(loaded, asked()), strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        assert one.known == other.known


def test_a_class_is_added_to_a_run_that_takes_any_number() -> None:
    fitted = added(fit(maker("protonet"), things(2, 2)), {"cup": things(0, 0, 2)["cup"]})
    assert fitted.classes == ("apple", "book", "cup")


def test_a_run_of_a_fixed_number_of_classes_says_so() -> None:
    with pytest.raises(UserError, match="trained to tell 3 classes apart, and here are 2"):
        fit(maker("maml"), things(2, 2))


@pytest.mark.parametrize("method", ["tim", "laplacianshot"])
def test_methods_that_classify_photos_together_are_refused(method: str) -> None:
    with pytest.raises(UserError, match="many photos at once"):
        maker(method)


def test_a_run_of_an_older_version_is_refused() -> None:
    config = Config(method="protonet", backbone="conv2-8").with_defaults()
    with pytest.raises(UserError, match="older version"):
        adapted(config, Trained({}, None, Best()))
