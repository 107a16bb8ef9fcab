"""Recognisers from their files, whatever made them."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalearn.errors import UserError
from metalearn.models import is_pretrained
from metalearn.models.zoo import BODIES
from metalearn.personal import probed
from metalearn.personal.contents import from_contents, to_contents
from metalearn.personal.embedding import Embedder, embedding_of
from metalearn.personal.file import read_contents, write_contents
from metalearn.personal.fitted import Fitted
from metalearn.personal.heads import AUTO
from metalearn.personal.model import RUN, Arrays, Maker
from metalearn.personal.views import USUAL, views_named

if TYPE_CHECKING:
    from metalearn.config import Config  # it imports all learners, and so Optax


def save_fitted(fitted: Fitted, path: Path, include_body: bool = False) -> None:
    """Write a recogniser's file, whole or not at all.

    Args:
      fitted: the recogniser.
      path: of the file.
      include_body: whether it holds the body's weights too, so that these need not be installed;
        it does if the file did that the recogniser was read from.

    Raises:
      UserError: it cannot be written.
    """
    body = fitted.model.body() if include_body or fitted.model.included else None
    write_contents(path, to_contents(fitted, body))


def load_fitted(path: Path, weights: str | Path | None = None) -> Fitted:
    """The recogniser of a file.

    Args:
      path: of the file.
      weights: file of the body's weights; those in the file, or those installed, by default.

    Raises:
      UserError: it is not there, damaged, or of a newer version.
    """
    return from_contents(read_contents(path), path, partial(_open, weights))


def _open(
    weights: str | Path | None, made_of: dict[str, Any], arrays: Arrays, body: Arrays | None
) -> Maker:
    kind = made_of.pop("kind")
    if kind == probed.KIND:
        return probed.open_probed(made_of, arrays, body, weights)
    if kind != RUN:
        raise ValueError(f"unknown kind of model '{kind}'")
    if weights:
        raise UserError("this recogniser has the weights of its run in it: leave out --weights")
    # Here, as learners and checkpoints take long to import
    from metalearn.personal.adapted import open_adapted

    return open_adapted(made_of, arrays)


def run_maker(
    workdir: Path, method: str = AUTO, root: Path | None = None, views: str = USUAL
) -> Maker:
    """What makes the model of a finished run.

    Args:
      workdir: folder of a meta-trained run, whose learner adapts to the photographs; or of a run of
        `experiments.transfer` or `pretrain`, whose body a head is fitted to the features of.
      method: of such a body, as of `probed`.
      root: folder of caches, where features by such a body are kept; None for nowhere.
      views: that such a body is shown, by name.

    Raises:
      UserError: the folder holds none, or it cannot be used.
    """
    from metalearn.learners.registry import CLASSIFYING
    from metalearn.personal.adapted import adapted
    from metalearn.records.workdir import read_workdir
    from metalearn.retest import read_trained

    config = read_workdir(workdir).config
    if config.method in CLASSIFYING:
        return _body_maker(config, workdir, method, root, views)
    if method != AUTO:
        raise UserError(
            f"{workdir} is a run of {config.method}, which fits by itself: leave out --method"
        )
    if views != USUAL:
        raise UserError(
            f"{workdir} is a run of {config.method}, which is shown photos whole: leave out --views"
        )
    return adapted(config, read_trained(workdir))


def _body_maker(
    config: "Config", workdir: Path, method: str, root: Path | None, views: str
) -> Maker:
    """What makes the model of a classifier's body."""
    from metalearn.classifiers.body import body_of_run
    from metalearn.training.backbone import digest_of

    if not is_pretrained(config.backbone):
        raise UserError(
            f"{workdir} has a body of {config.backbone}: choose a run of a pre-trained one "
            f"({', '.join(BODIES)})"
        )
    body = body_of_run(dataclasses.replace(config, init_from=str(workdir)))
    body = body._replace(digest=digest_of(body))
    embedding = embedding_of(config.backbone, body, views_named(views, body.inputs.size[0]))
    return probed.probed(embedding.shown, Embedder(lambda: embedding, root), method, included=True)
