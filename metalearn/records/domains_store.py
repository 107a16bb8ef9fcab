"""Files of the records of domain adaptation: names, reading, writing."""

import dataclasses
import json
import math
from itertools import count
from pathlib import Path
from typing import Any

from metalearn.errors import UserError
from metalearn.records.domains import SHARES, DomainsMeasured, DomainsRecord, DomainsTest
from metalearn.records.names import file_name
from metalearn.records.parse import config_from_json, lineage_from_json, part_of, typed
from metalearn.records.record import FORMAT, Provenance, lineage_to_json, settings
from metalearn.records.store import write_json

KIND = "domains"  # in the file
FOLDER = "domains"  # of the records, below that of all results
MOST = {"distance": 2.0} | dict.fromkeys(SHARES, 1.0)


def domains_path(root: Path, record: DomainsRecord) -> Path:
    """`<root>/domains/<domains>/<what>.json`, with -2, … if another test has the name."""
    (config, test) = (record.config, record.test)
    parts = [test.method]
    parts += ["grid"] if len(test.choices) > 1 else []
    parts += ["init"] if config.init_from or record.lineage else []
    parts += [record.features, test.classifier]
    parts += [f"{test.images}images"] if test.images else []
    parts += [f"{test.target_labels}labels"] if test.target_labels else []
    name = "-".join([*parts, f"seed{config.seed}"])
    folder = Path(root) / FOLDER / file_name(record.domains)
    for number in count(1):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists() or read_domains(path).identity == record.identity:
            return path
    raise AssertionError


def write_domains(path: Path, record: DomainsRecord) -> None:
    """Write a record, whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    found = {
        "format": FORMAT,
        "kind": KIND,
        "config": settings(record.config),
        "test": dataclasses.asdict(record.test),
        "measured": dataclasses.asdict(record.measured),
        "lineage": lineage_to_json(record.lineage),
        "provenance": dataclasses.asdict(record.provenance),
    }
    write_json(path, found)


def read_domains(path: Path) -> DomainsRecord:
    """The record at path.

    Raises:
      UserError: it is no record.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return dataclasses.replace(_from_json(found), path=path)
    except (OSError, ValueError, UserError) as error:
        raise UserError(
            f"{path} is no record ({error}); make the record again or delete it"
        ) from error


def _from_json(found: Any) -> DomainsRecord:
    if not isinstance(found, dict) or found.get("kind") != KIND or found.get("format") != FORMAT:
        raise UserError(f"it is not of kind {KIND}, format {FORMAT}")
    test = typed(DomainsTest, part_of(found, "test"))
    measured = typed(DomainsMeasured, part_of(found, "measured"))
    _check(test, measured)
    return DomainsRecord(
        config_from_json(part_of(found, "config")),
        test,
        measured,
        lineage_from_json(found.get("lineage")),
        typed(Provenance, part_of(found, "provenance")),
    )


def _check(test: DomainsTest, measured: DomainsMeasured) -> None:
    """See that every draw has a number in range for every choice.

    Raises:
      UserError: it has not.
    """
    if not test.choices:
        raise UserError("wrong or missing choices")
    for name, draws in dataclasses.asdict(measured).items():
        wrong = len(draws) != test.draws or any(len(draw) != len(test.choices) for draw in draws)
        most = MOST.get(name, math.inf)
        if name == "validators":
            wrong |= any(len(some) != len(test.validators) for draw in draws for some in draw)
        else:
            wrong |= not all(0 <= value <= most for draw in draws for value in draw)
        if wrong:
            raise UserError(f"wrong or missing {name}")


def domains_records(root: Path) -> list[DomainsRecord]:
    """All such records below a folder of results, in the order of their files' names.

    Raises:
      UserError: a file that is no record.
    """
    return [read_domains(path) for path in sorted((Path(root) / FOLDER).glob("*/*.json"))]
