"""Checkpoints of a run: the latest, to resume from, and the best by validation, to test."""

import os
import re
import sys
from pathlib import Path
from textwrap import shorten

import jax
import numpy as np
import orbax.checkpoint as ocp

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.parallel import by_first
from metalearn.training.step import TrainState
from metalearn.training.trained import Best, Trained, is_over
from metalearn.training.trees import inputs_from_tree, inputs_to_tree, shapes
from metalearn.types import InputSpec, PyTree


class Unreadable(UserError):
    """A checkpoint whose files are damaged."""


class Checkpoints:
    """The checkpoints of a run, below `<workdir>/checkpoints`: the latest and the best.

    A save is whole or absent, whenever the program dies. The last two of either kind stay. `clean`
    removes what a killed process left half-written: for the one process that writes here.

    Raises:
      UserError: the folder cannot be written.
    """

    def __init__(self, workdir: Path, clean: bool = False):
        self.root = Path(workdir).absolute() / "checkpoints"
        try:
            self._latest = self._manager("latest", clean)
            self._best = self._manager("best", clean)
        except OSError as error:
            raise UserError(
                f"cannot write {self.root}: {error.strerror or error}; choose another --workdir"
            ) from error

    def _manager(self, name: str, clean: bool) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, cleanup_tmp_directories=clean
        )
        return ocp.CheckpointManager(
            self.root / name, options=options, item_handlers=ocp.StandardCheckpointHandler()
        )

    def save(self, state: TrainState, best: Best) -> None:
        """Save the state to resume from, unless it is there."""
        best_tree = {
            "accuracy": np.asarray(best.accuracy, np.float64),
            "step": np.asarray(best.step, np.int64),
        }
        _save(self._latest, int(state.step), {"state": state._asdict(), "best": best_tree})

    def save_best(self, step: int, meta: PyTree, inputs: InputSpec) -> None:
        """Save what did best on validation: `Trained` without its `best`."""
        _save(self._best, step, {"meta": meta, "inputs": inputs_to_tree(inputs)})

    def latest_step(self) -> int | None:
        """Step of the latest state saved, None before the first."""
        return self._latest.latest_step()

    def restore(self, like: TrainState) -> tuple[TrainState, Best] | None:
        """The latest state, or None before the first save.

        `like` gives structure, shapes and placement. A damaged checkpoint is skipped for the one
        before, and moved aside with a warning.

        Raises:
          UserError: there are checkpoints, but all are damaged, or they are of another model.
        """
        best = {"accuracy": np.zeros((), np.float64), "step": np.zeros((), np.int64)}
        target = {"state": like._asdict(), "best": best}
        damaged: list[tuple[int, Unreadable]] = []
        for step in sorted(self._latest.all_steps(), reverse=True):
            try:
                tree = self._restore(self._latest, step, target)
            except Unreadable as error:
                damaged.append((step, error))
                continue
            for bad, why in damaged:
                self._set_aside(bad, f"{why}; continuing from step {step}")
            return TrainState(**tree["state"]), Best(
                float(tree["best"]["accuracy"]), int(tree["best"]["step"])
            )
        if damaged:
            raise UserError(
                f"{damaged[0][1]}, nor can an older one: to train from the start, delete "
                f"{self.root}"
            )
        return None

    def _set_aside(self, step: int, why: str) -> None:
        by_first(lambda: self._move(step, why))
        self._latest.reload()

    def _move(self, step: int, why: str) -> None:
        aside = self.root / "damaged" / str(step)
        while aside.exists():
            aside = aside.with_name(aside.name + "-again")
        try:
            aside.parent.mkdir(exist_ok=True)
            os.replace(self._latest.directory / str(step), aside)
        except OSError as error:
            raise UserError(
                f"{why}: but it cannot be moved to {aside}: {error.strerror}"
            ) from error
        print(f"warning: {why}; its files are now in {aside}", file=sys.stderr)

    def restore_best(self, best: Best) -> Trained:
        """What `save_best` saved at this step: nested dicts of NumPy arrays.

        Raises:
          UserError: it is not there, or not whole.
        """
        if best.step not in self._best.all_steps():
            raise UserError(
                f"no checkpoint of step {best.step} in {self.root / 'best'}: train again in "
                "another --workdir"
            )
        try:
            found = _read(self._best, best.step)
        except (MemoryError, jax.errors.JaxRuntimeError):  # another process is gone
            raise
        except Exception as error:
            where = self.root / "best" / str(best.step)
            raise UserError(
                f"{where} cannot be read ({_reason(error)}): train again in another --workdir"
            ) from error
        if "inputs" not in found:  # saved by an older version
            return Trained(found, None, best)
        return Trained(found["meta"], inputs_from_tree(found["inputs"]), best)

    def read_trained(self, config: Config) -> Trained:
        """The best of a finished run with these settings, whatever its model and devices.

        Raises:
          UserError: the run is not at its end, or a checkpoint is damaged.
        """
        done = self.latest_step()
        unfinished = UserError(
            f"{self.root.parent} is trained to step {done or 0} of {config.steps}: run its "
            "training command again to finish it"
        )
        if done is None or (done < config.steps and not config.patience):
            raise unfinished
        try:
            found = _read(self._latest, done)["best"]
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise
        except Exception as error:
            raise UserError(
                f"the checkpoints in {self.root} cannot be read ({_reason(error)}): train it again"
            ) from error
        best = Best(float(found["accuracy"]), int(found["step"]))
        if not is_over(config, done, best):
            raise unfinished
        return self.restore_best(best)

    def _restore(self, manager: ocp.CheckpointManager, step: int, like: PyTree) -> PyTree:
        where = manager.directory / str(step)
        try:
            if shapes(manager.item_metadata(step).tree) != shapes(like):
                raise UserError(
                    f"{where} is a checkpoint of another model or optimiser: choose another "
                    "--workdir"
                )
            return manager.restore(step, args=ocp.args.StandardRestore(like))
        except (
            UserError,
            MemoryError,
            jax.errors.JaxRuntimeError,
        ):  # the last: another process is gone
            raise
        except Exception as error:
            raise Unreadable(f"{where} cannot be read ({_reason(error)})") from error

    def close(self) -> None:
        """Close both managers."""
        self._latest.close()
        self._best.close()


def _save(manager: ocp.CheckpointManager, step: int, tree: PyTree) -> None:
    # Written before a kill; steps are deterministic, so it is the same
    if step in manager.all_steps():
        return
    try:
        manager.save(step, args=ocp.args.StandardSave(tree))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot write checkpoint {manager.directory / str(step)}: {_reason(error)}; "
            "earlier checkpoints are kept: make room and run the same command again"
        ) from error


def _read(manager: ocp.CheckpointManager, step: int) -> PyTree:
    like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), manager.item_metadata(step).tree)
    return manager.restore(step, args=ocp.args.StandardRestore(like))


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    # TensorStore's errors have the system's own at their end, by its number
    if number := re.search(r"os_error_code='(\d+)'", str(error)):
        return os.strerror(int(number[1]))
    return getattr(error, "strerror", None) or shorten(str(error), 80) or type(error).__name__
