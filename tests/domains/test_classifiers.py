"""Classifiers of adapted features and what validators get to read."""

import numpy as np
import pytest

from metalearn.domains.classifiers import CLASSIFIERS, NEAREST, classified, judge
from metalearn.domains.few import training_set
from metalearn.domains.nearest import nearest_logits
from metalearn.domains.registry import adapt
from metalearn.domains.types import Domains
from metalearn.domains.validators import VALIDATORS, oracle
from metalearn.errors import UserError
from metalearn.transfer.fitted import Sample
from metalearn.transfer.probes import apply_probe, fit_probe
from tests.domains.made import CLASSES, domains, plane


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifier_is_fitted_with_the_weights_of_the_loss(kind: str) -> None:
    given = domains()
    found = adapt("recentre", given)
    weighted = found._replace(weights=np.random.default_rng(0).exponential(size=60) + 0.1)
    training = training_set(weighted, given.source_y, CLASSES)
    new = found.transform(given.target_z)
    logits = classified(kind, training, new)
    if kind == NEAREST:
        expected = nearest_logits(found.source, given.source_y, CLASSES, new)
    else:
        probe = fit_probe(kind, found.source, given.source_y, CLASSES, images=weighted.weights)
        expected = apply_probe(probe, new.astype(np.float32))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_what_is_judged_was_held_out(kind: str) -> None:
    """A fifth of each class of the source; where labels are random, the rest says nothing of it.

    Of sixty features any classifier is right about most images that it was fitted to.
    """
    given = domains(size=60)
    found = adapt("recentre", given)
    judged = judge(kind, given, found)
    assert judged.source_logits.shape == (12, CLASSES)
    assert np.bincount(judged.source_y).tolist() == [4, 4, 4]
    assert judged.target_logits.shape == (48, CLASSES)
    assert judged.source_ratio.shape == (12,) and (judged.source_ratio > 0).all()
    held = np.random.default_rng(0).permutation(60)
    shuffled = given._replace(source_y=given.source_y[held])
    assert VALIDATORS["source"].score(judge(kind, shuffled, found)) < 0.6
    training = training_set(found, shuffled.source_y, CLASSES)
    own = classified(kind, training, found.source)
    assert (own.argmax(1) == shuffled.source_y).mean() > 0.8


def test_labelled_images_of_the_target_are_judged_with() -> None:
    given = domains()
    found = adapt("none", given)
    few = (given.target_z[:6], (np.arange(6) + 1) % CLASSES)  # against what the source says
    (without, known) = (judge(NEAREST, given, found, each) for each in (None, few))
    assert (known.target_logits[:6].argmax(1) == few[1]).all()
    assert not (without.target_logits[:6].argmax(1) == few[1]).all()
    np.testing.assert_array_equal(without.source_ratio, known.source_ratio)


def test_nearest_images_are_as_sure_whatever_the_scale_of_features() -> None:
    given = domains()
    larger = given._replace(source_z=1000 * given.source_z, target_z=1000 * given.target_z)
    (one, other) = (judge(NEAREST, each, adapt("none", each)) for each in (given, larger))
    np.testing.assert_allclose(one.target_logits, other.target_logits, rtol=1e-6)
    for name in ("entropy", "information", "density"):
        (score, same) = (VALIDATORS[name].score(each) for each in (one, other))
        assert score == pytest.approx(same, rel=1e-5), name


def test_validators_prefer_the_method_that_solves_the_shift() -> None:
    (source, y) = plane(90, 0)
    (target, target_y) = plane(75, 1)
    given = Domains(source, y, target + [2.0, -2.5], CLASSES)
    judged = {}
    for name in ("none", "recentre"):
        judged[name] = judge("logistic", given, adapt(name, given))
    truth = {name: oracle(each.target_logits, target_y) for name, each in judged.items()}
    assert truth["recentre"] > truth["none"] + 0.2
    for name in ("entropy", "information"):
        score = VALIDATORS[name].score
        assert score(judged["recentre"]) > score(judged["none"]), name


def test_unknown_classifiers_and_a_source_without_pairs_are_refused() -> None:
    given = domains()
    training = Sample(given.source_z, given.source_y, np.ones(CLASSES))
    with pytest.raises(UserError, match="unknown classifier 'tree': choose one of nearest"):
        classified("tree", training, given.target_z)
    alone = given._replace(source_z=given.source_z[:3], source_y=given.source_y[:3])
    with pytest.raises(UserError, match="no class of the source has two images"):
        judge(NEAREST, alone, adapt("none", alone))
