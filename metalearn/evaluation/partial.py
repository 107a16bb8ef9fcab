"""Partial results of a long test, which continues from them if it was stopped."""

from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from metalearn.files import write_whole


class PartialResult(NamedTuple):
    """The file of a test's partial results.

    Attributes:
      path: of an `.npz` file.
      test: identifies the test; the file of another test is ignored.
    """

    path: Path
    test: str

    def read(self) -> tuple[dict[str, np.ndarray], float]:
        """Results of the first episodes and the seconds that they took; empty without a file."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return {}, 0.0
        if str(found.pop("test", "")) != self.test:
            return {}, 0.0
        if "finite" not in found:  # saved by a version that did not check
            return {}, 0.0
        return found, float(found.pop("seconds"))

    def write(self, found: dict[str, np.ndarray], seconds: float) -> None:
        """Saves the results of the first episodes, whole or not at all.

        Raises:
          UserError: the file cannot be written.
        """
        arrays: dict[str, Any] = found | {"test": self.test, "seconds": seconds}
        write_whole(self.path, lambda file: np.savez(file, **arrays))
