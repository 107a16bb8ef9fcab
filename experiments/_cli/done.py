"""What of the queue of runs has no record yet."""

from collections.abc import Sequence
from pathlib import Path

from experiments._cli.plan import Step, steps
from experiments._cli.queue import Run
from metalearn.config import Config
from metalearn.learners.method import make_method
from metalearn.learners.registry import METHODS
from metalearn.records.domains import DomainsRecord
from metalearn.records.domains_store import DOMAINS
from metalearn.records.labelled import LabelledRecord
from metalearn.records.labelled_store import LABELLED
from metalearn.records.record import Record, lineage_to_json, settings
from metalearn.records.report import read_records
from metalearn.records.workdir import holds_run, lineage_of
from metalearn.settings import STAGES
from metalearn.testing import tested_norms

AnyRecord = Record | LabelledRecord | DomainsRecord


def records_like(run: Run, root: Path) -> Sequence[AnyRecord]:
    """The records below a folder that are of the kind that a run leaves.

    Raises:
      UserError: a file that is no record.
    """
    if run.adapts:
        return DOMAINS.read_all(root)
    return LABELLED.read_all(root) if run.classifies else read_records(root)


def missing(run: Run, records: Sequence[AnyRecord]) -> list[Step]:
    """The steps of a run whose records are not there, each command once."""
    lacking: dict[tuple[str, str], Step] = {}
    for step in steps(run):
        if not _is_done(step.config, records, len(run.seeds)):
            lacking.setdefault((step.command, step.folder), step)
    return list(lacking.values())


def _is_done(config: Config, records: Sequence[AnyRecord], seeds: int) -> bool:
    """Whether records are of a test with these settings, or of so many seeds of them.

    A few-shot test has one of each of its normalisations. Running statistics of clean images, as
    they were measured at first, are not those that a test has now.
    """
    found = [record for record in records if _of(record, config, seeds)]
    if config.method not in METHODS:
        return bool(found)
    tests = [record.test for record in found if isinstance(record, Record)]
    norms = {test.norm for test in tests if test.normalisation == test.norm}
    return norms >= set(tested_norms(config, make_method(config, 2)))


def _of(record: AnyRecord, config: Config, seeds: int) -> bool:
    """Whether a record is of a test with these settings, whatever its normalisation."""
    if isinstance(record, DomainsRecord):
        return _but_weights(record.config) == _but_weights(config) and record.test.draws >= seeds
    if isinstance(record, LabelledRecord):
        return _of_classifier(record, config)
    roles = {name for name in STAGES if getattr(config, name)}
    return settings(record.config) == settings(config) and record.roles == roles


def _of_classifier(record: LabelledRecord, config: Config) -> bool:
    """Whether a record is of a classifier with these settings, of the same body.

    Which weights a published body has is left open: a record has their digest, a line a file or
    nothing. A body that was trained here is that of an earlier run, which must be there.
    """
    if _but_weights(record.config) != _but_weights(config):
        return False
    if not config.init_from:
        return not record.lineage
    if not holds_run(Path(config.init_from)):
        return False
    stages = (record.lineage, lineage_of(config))
    (of_record, of_run) = (lineage_to_json(lineage, timed=False) for lineage in stages)
    return of_record == of_run


def _but_weights(config: Config) -> dict[str, object]:
    return {name: value for name, value in settings(config).items() if name != "weights"}
