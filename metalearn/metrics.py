"""The run's diary: `metrics.jsonl`, one object a line, and the same numbers for TensorBoard."""

import json
from pathlib import Path
from typing import Any


class Diary:
    """Appends rows {step, ...} to `<workdir>/metrics.jsonl` and to event files under `<workdir>/tensorboard`.

    Rows beyond `step`, written by an earlier process after its last checkpoint, are dropped: their steps are made
    again.
    """

    def __init__(self, workdir: Path, step: int):
        self.path = Path(workdir) / "metrics.jsonl"
        kept = [row for row in read_rows(self.path) if row["step"] <= step]
        rewritten = self.path.with_suffix(".tmp")
        rewritten.write_text("".join(json.dumps(row) + "\n" for row in kept))
        rewritten.replace(self.path)
        self._writer = self._events(Path(workdir) / "tensorboard", step)

    @staticmethod
    def _events(folder: Path, step: int) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            print("tensorboardX is not installed: metrics go to metrics.jsonl alone")
            return None
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, step: int, **values: float) -> None:
        """Append one row."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def read_rows(path: Path) -> list[dict]:
    """Rows of a metrics file; none if it is absent; a last line cut short by a kill is left out."""
    rows = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def seconds_until(path: Path, step: int) -> float:
    """Seconds of training that the rows up to a step report."""
    return sum(row.get("seconds", 0.0) for row in read_rows(path) if row["step"] <= step)
