"""Which bodies a training may begin from."""

from pathlib import Path

import jax.numpy as jnp
import pytest

from metalearn.classifiers.body import body_of_run
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.workdir import Saved, open_workdir
from metalearn.training.state import Run, begin, check_whole_body
from metalearn.training.step import TrainState

FRESH = TrainState(jnp.int32(0), {"body": {}}, ())
APART = Config(method="maml++", backbone="conv2-8", norm="batch")
WHOLE = Config(method="maml", backbone="conv2-8", norm="batch")


@pytest.mark.parametrize(("there", "here"), [(APART, WHOLE), (WHOLE, APART), (APART, APART)])
def test_body_whose_normalisation_is_kept_apart_is_refused(
    there: Config, here: Config, tmp_path: Path
) -> None:
    run = Run(here, tmp_path / "run", {"init_from": Run(there, tmp_path / "earlier")})
    with pytest.raises(UserError, match="earlier: MAML"):
        begin(run, FRESH)


def test_body_without_normalisation_is_whole() -> None:
    there = Config(method="maml++", norm="none")
    check_whole_body(Path("earlier"), there, WHOLE)


def test_classifier_refuses_such_a_body_too(tmp_path: Path) -> None:
    open_workdir(tmp_path, Saved(APART))
    config = Config(method="probe", backbone="conv2-8", norm="batch", init_from=str(tmp_path))
    with pytest.raises(UserError, match="MAML"):
        body_of_run(config)
