"""What programs share that repeat a comparison by several seeds: draws saved one by one."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from experiments._cli.define import FLAGS
from metalearn.errors import UserError
from metalearn.records.kinds import Kind


def path_of(workdir: Path, name: str) -> Path:
    """The file of a record in the folder of a comparison."""
    return workdir / f"{name}.json"


def begun(workdir: Path, blank: Mapping[str, Any], kind: Kind[Any]) -> dict[str, Any]:
    """Records by name, with the draws that the folder has.

    Args:
      workdir: of the comparison.
      blank: the records before their first draw.
      kind: of the records.

    Raises:
      UserError: the folder holds another comparison.
    """
    found = dict(blank)
    for name, record in blank.items():
        path = path_of(workdir, name)
        if path.exists():
            found[name] = kind.read(path)
            if found[name].without_draws != record.without_draws:
                raise UserError(
                    f"{workdir} holds a comparison with other settings: choose another --workdir"
                )
    return found


def missing(records: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Draws of --draws that records lack, and the records' names."""
    return [
        (draw, name)
        for draw, name in product(range(FLAGS.draws), records)
        if draw >= records[name].test.draws
    ]


def grouped(todo: Iterable[tuple[int, str]], most: int) -> list[tuple[str, list[int]]]:
    """Records' names and their draws that are made at once, early draws first.

    Args:
      todo: draws that are missing, and the records' names.
      most: draws at once.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for draw, name in todo:
        groups.setdefault((draw // most, name), []).append(draw)
    return [(name, draws) for (_, name), draws in groups.items()]


def record_all(records: list[Any], kind: Kind[Any]) -> None:
    """Write the records where --record asks for it.

    Args:
      records: to be written.
      kind: of the records.
    """
    for record in records if FLAGS.record else []:
        path = kind.path(Path(FLAGS.results_dir), record)
        kind.write(path, record)
        print(f"recorded: {path}")
