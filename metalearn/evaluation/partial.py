"""Partial results: what a test under way keeps, to go on from if it is stopped."""

from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from metalearn.files import write_whole


class PartialResult(NamedTuple):
    """Where a long test keeps what it has done, to go on from there if it is stopped.

    Attributes:
      path: of an `.npz` file.
      test: what is tested on what, in words; a file of another test does not count.
    """

    path: Path
    test: str

    def read(self) -> tuple[dict[str, np.ndarray], float]:
        """Results of the first episodes, none if there is no such file, and the seconds that they
        took.
        """
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return {}, 0.0
        if str(found.pop("test", "")) != self.test:
            return {}, 0.0
        if "finite" not in found:  # kept before that was looked at
            return {}, 0.0
        return found, float(found.pop("seconds"))

    def write(self, found: dict[str, np.ndarray], seconds: float) -> None:
        """Keep the results of the first episodes.

        Raises:
          UserError: the file cannot be written.
        """
        arrays: dict[str, Any] = found | {"test": self.test, "seconds": seconds}
        write_whole(self.path, lambda file: np.savez(file, **arrays))
