"""The flags that name folders and files: `~` is the home folder, what cannot be used is refused."""

import os
from pathlib import Path

from absl import flags

from metalearn.data.cache import expanded
from metalearn.errors import UserError
from metalearn.models.sources import HUB
from metalearn.settings import STAGES

FLAGS = flags.FLAGS
FILES = ("weights", "out", "unlabelled", "check")
FOLDERS = (
    "data_dir",
    "test_data_dir",
    "target_data_dir",
    "source_data_dir",
    "cache_dir",
    "workdir",
    "results_dir",
    "runs_dir",
    "weights_dir",
    *STAGES,
)
PATTERN = "[]*?\\"  # in a path, the library that reads checkpoints takes it for one


def resolve_places() -> None:
    """Put whole paths in the place of `~` in all flags that the program has and the user gave.

    Raises:
      UserError: a folder that is none of this machine's, or in which a run could not be kept.
    """
    for name in (*FOLDERS, *FILES):
        given = FLAGS[name].value if name in FLAGS else None
        if given and isinstance(given, str):  # `few_photos` counts by its --unlabelled
            FLAGS[name].value = _resolved(name, given)


def _resolved(name: str, given: str) -> str:
    if name in FILES and given.startswith(HUB):
        return given
    if "://" in given:
        raise UserError(f"--{name}={given} is no folder of this machine: copy it here, or mount it")
    path = str(expanded(given))
    if name in ("workdir", *STAGES):
        check_run_folder(Path(path), name)
    return path


def check_run_folder(folder: Path, name: str = "workdir") -> None:
    """See that checkpoints in this folder can be read again, before any is made.

    Raises:
      UserError: the name of the folder, or of one around it, is in the way.
    """
    path = os.path.abspath(folder)
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="backslashreplace").decode()
        raise UserError(f"--{name}: {shown} is not UTF-8: choose another --{name}") from None
    if found := [character for character in PATTERN if character in path]:
        raise UserError(
            f"--{name}: checkpoints in {path} could not be read again, for the {found[0]} in its "
            f"path: choose another --{name}"
        )
