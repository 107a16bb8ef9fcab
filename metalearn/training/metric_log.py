"""The metric log: `metrics.jsonl`, one object a line, and the same numbers for TensorBoard."""

import json
import os
import time
from pathlib import Path
from typing import Any

from metalearn.errors import UserError


class MetricLog:
    """Appends rows {step, ...} to `<workdir>/metrics.jsonl`.

    And to event files under `<workdir>/tensorboard`.

    A checkpoint between two rows leaves a part {step, first, sums, seconds}: sums over the steps
    after `first`, from which a resumed run completes the row. The next row replaces it.

    Attributes:
      part: what was left of a row in the middle of its steps, by an earlier process or here, or
        None.
      saved: the step of the last checkpoint: a part of this step is kept, for a process that begins
        from there.
    """

    def __init__(self, workdir: Path, step: int):
        """Open the log; rows beyond `step` are dropped.

        These were written after the last checkpoint: their steps come again.

        Raises:
          UserError: it cannot be written.
        """
        self.path = Path(workdir) / "metrics.jsonl"
        rows = without_old_parts([row for row in _read(self.path) if row["step"] <= step])
        self.part = rows[-1] if rows and is_part(rows[-1]) and rows[-1]["step"] == step else None
        self.saved = step
        self._rewrite(rows)
        self._events = open_events(Path(workdir) / "tensorboard", step)

    def write(self, step: int, **values: float) -> None:
        """Append one row.

        Raises:
          UserError: it cannot be written.
        """
        self.part = None
        self._append({"step": step, **values})
        if self._events is not None:
            _write_events(self._events, step, values)

    def write_part(self, step: int, first: int, sums: dict[str, float], seconds: float) -> None:
        """Append what is known of a row whose steps continue after `step`.

        Args:
          step: the last one so far.
          first: the step after which the row begins.
          sums: over the steps between, of every number whose mean the row reports.
          seconds: that these steps took.

        Raises:
          UserError: it cannot be written.
        """
        self.part = {"step": step, "first": first, "sums": sums, "seconds": seconds}
        self._append(self.part)

    def close(self) -> None:
        """Leave whole rows, and of parts those that a process may begin from."""
        self._rewrite(without_old_parts(_read(self.path), self.saved))
        if self._events is not None:
            self._events.close()

    def _append(self, row: dict) -> None:
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise _refused(self.path, error) from error

    def _rewrite(self, rows: list[dict]) -> None:
        part = self.path.with_suffix(".part")
        try:
            part.write_text("".join(json.dumps(row) + "\n" for row in rows))
            os.replace(part, self.path)
        except OSError as error:
            raise _refused(self.path, error) from error


class NoMetricLog:
    """The metric log of a process that leaves writing to another: it writes nothing."""

    part = None
    saved = 0

    def write(self, step: int, **values: float) -> None:
        """Write nothing."""

    def write_part(self, step: int, first: int, sums: dict[str, float], seconds: float) -> None:
        """Write nothing.

        Args:
          step, first, sums, seconds: see `MetricLog.write_part`.
        """

    def close(self) -> None:
        """Nothing is open."""


def _refused(path: Path, error: OSError) -> UserError:
    why = error.strerror or error
    return UserError(
        f"cannot write {path}: {why}; checkpoints are kept: make room and run the same command "
        "again"
    )


def open_events(folder: Path, step: int) -> Any:
    """A writer of TensorBoard's event files, None without tensorboardX.

    Events beyond `step` are marked as invalid: their steps come again.
    """
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
    except ImportError:
        print("tensorboardX is not installed: metrics go to metrics.jsonl alone")
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not SummaryWriter: its thread ends at a full disk, and then its queue blocks for ever.
        events = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        if step:
            start = SessionLog(status=SessionLog.SessionStatus.Value("START"))
            events.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))
    except OSError as error:
        raise _refused(folder, error) from error
    return events


def _write_events(events: Any, step: int, values: dict[str, float]) -> None:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    summary = Summary(
        value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    )
    try:
        events.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        events.flush()
    except OSError as error:
        raise _refused(Path(events._file_name), error) from error


def is_part(row: dict) -> bool:
    """Whether a row was written in the middle of its steps."""
    return "sums" in row


def without_old_parts(rows: list[dict], saved: int = -1) -> list[dict]:
    """The rows, without parts that later rows replace, but for a part of the step `saved`."""
    last = len(rows) - 1
    return [
        row for i, row in enumerate(rows) if not is_part(row) or i == last or row["step"] == saved
    ]


def read_rows(path: Path) -> list[dict]:
    """Rows of a metrics file, of which only the last may be a part; none if the file is absent."""
    return without_old_parts(_read(path))


def _read(path: Path) -> list[dict]:
    """Rows as they stand; a line cut short by a kill, or damaged, is left out."""
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [row for row in rows if _is_row(row)]


def _is_row(found: Any) -> bool:
    """Whether it is an object of numbers with a step, or a part as `write_part` leaves it."""
    if not isinstance(found, dict) or type(found.get("step")) is not int:
        return False
    numbers = found
    if is_part(found):
        if found.keys() != {"step", "first", "sums", "seconds"} or not isinstance(
            found["sums"], dict
        ):
            return False
        numbers = {**found["sums"], "first": found["first"], "seconds": found["seconds"]}
    return all(isinstance(value, (int, float)) for value in numbers.values())


def seconds_until(path: Path, step: int) -> float:
    """Seconds of training that the rows up to a step report."""
    return sum(row.get("seconds", 0.0) for row in read_rows(path) if row["step"] <= step)


def peak_memory_until(path: Path, step: int) -> float:
    """Most memory, MiB, that the rows up to a step report; 0 where they do not."""
    return max(
        (row.get("peak_memory_mb", 0.0) for row in read_rows(path) if row["step"] <= step),
        default=0.0,
    )
