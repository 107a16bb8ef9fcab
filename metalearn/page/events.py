"""What gradio hands over and takes: files that were sent, progress bars."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metalearn.page.watched import Report


def path_of(payload: Any) -> str | None:
    """The file that was sent, as it is: it is read here, whatever it turns out to be."""
    return None if payload is None else payload.path


def unlink(files: Iterable[str]) -> None:
    """Remove photographs that are read; two people may have sent the same."""
    for file in files:
        Path(file).unlink(missing_ok=True)


def reported(bar: Any) -> Report:
    """What tells a progress bar of gradio's how far the work is."""

    def report(done: int, number: int) -> None:
        bar((done, number), desc="Looking at the photos", unit="photos")

    return report
