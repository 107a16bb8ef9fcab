"""What `experiments.adapt` does of methods that train a body: runs, records, pictures, a table."""

import dataclasses
import sys
from pathlib import Path

from experiments._cli.adapt_arguments import bodies_given, checked_workdir, trained_config_given
from experiments._cli.adapt_images import open_both
from experiments._cli.define import FLAGS
from experiments._cli.draws import begun, missing, path_of, record_all
from experiments._cli.lab import check_jax, meet
from experiments._cli.program import command_line
from metalearn.classifiers.adapting import (
    adapt_body,
    check_adaptation,
    features_of_run,
    judged_steps,
)
from metalearn.classifiers.judged import Domains, check_keep, labels_of, validators_of
from metalearn.config import Config
from metalearn.domains.deep.registry import DEEP, SOURCE_ONLY
from metalearn.domains.distance import check_halves
from metalearn.domains.few import few_of_each
from metalearn.domains.registry import NONE
from metalearn.records.domain_pictures import draw_domains
from metalearn.records.domains import NOTHING, TRAINED, DomainsRecord, DomainsTest
from metalearn.records.domains_rows import rows_of
from metalearn.records.domains_store import DOMAINS, adaptation_run
from metalearn.records.domains_tables import choice_lines, kept_lines, lines_of, notes_of
from metalearn.records.markdown import table
from metalearn.records.record import Provenance
from metalearn.records.workdir import lineage_of, lock_workdir
from metalearn.runtime import commit, configure, device_name
from metalearn.training.state import Run

SHOWN = 1000  # images of a domain in a picture


def adapt_bodies() -> None:
    """Train a body by each method in each draw; write records, say what was found.

    Raises:
      UserError: settings, weights or images that do not fit.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    methods = bodies_given()
    configs = {name: trained_config_given(name) for name in methods}
    meet()
    config = configs[SOURCE_ONLY]
    configure(config.meta_batch, config.precision)
    check_jax()
    for each in configs.values():
        check_adaptation(each)
    workdir = checked_workdir(config)
    (opened, domains, hashes) = open_both(config)
    configs = {
        name: dataclasses.replace(each, backbone=opened.backbone, weights=opened.weights)
        for name, each in configs.items()
    }
    _check_images(config, domains)
    for each in configs.values():
        check_keep(each.keep, domains.source.dataset)
    workdir.mkdir(parents=True, exist_ok=True)
    with lock_workdir(workdir):
        blanks = {name: _blank(each, domains, hashes) for name, each in configs.items()}
        records = begun(workdir, blanks, DOMAINS)
        for number, name in missing(records):
            # The command that makes all draws is the last one
            record = dataclasses.replace(records[name], provenance=blanks[name].provenance)
            records[name] = _with_draw(record, number, domains, workdir)
            DOMAINS.write(path_of(workdir, name), records[name])
    say(list(records.values()), workdir)


def _check_images(config: Config, domains: Domains) -> None:
    """See that there are the images that will be needed, before anything is trained."""
    (source, target) = (lab.dataset.train for lab in (domains.source, domains.target))
    check_halves(len(source.images), len(target.images))
    if config.target_labels:
        labels = labels_of(target)
        few_of_each(labels, config.target_labels, domains.names)


def _run(config: Config, workdir: Path) -> Run:
    """The run of a method, beside that of the source alone, which it may begin from."""
    folder = workdir / adaptation_run(config)
    if DEEP[config.method].begins:
        config = dataclasses.replace(config, init_from=str(_plain(config, workdir)))
    return Run(config, folder)


def _plain(config: Config, workdir: Path) -> Path:
    """The folder of the training on the source alone by the same seed."""
    return workdir / adaptation_run(dataclasses.replace(config, method=SOURCE_ONLY))


def _with_draw(
    record: DomainsRecord, number: int, domains: Domains, workdir: Path
) -> DomainsRecord:
    """The record with another draw, of the next seed."""
    first = record.config
    run = _run(dataclasses.replace(first, seed=first.seed + number), workdir)
    found = adapt_body(run, domains, record.provenance.command)
    outcomes = [found[step] for step in judged_steps(first)]
    if number == 0 and FLAGS.picture != NONE:
        _picture(run, domains, workdir)
    test = dataclasses.replace(record.test, draws=number + 1)
    lineage = lineage_of(run.config) if number == 0 else record.lineage
    measured = record.measured.with_draw(outcomes)
    return dataclasses.replace(record, test=test, measured=measured, lineage=lineage)


def _blank(config: Config, domains: Domains, hashes: str) -> DomainsRecord:
    """The record of a method before its first draw."""
    (source, target) = (domains.source.dataset, domains.target.dataset)
    test = DomainsTest(
        method=config.method,
        source=config.dataset,
        target=config.target,
        pixels=0,
        classifier=TRAINED,
        images=0,
        target_labels=config.target_labels,
        choices=[f"update {step}" for step in judged_steps(config)],
        validators=validators_of(source),
        draws=0,
        images_hash=hashes,
        source_images=len(source.test.images),
        target_images=len(target.test.images),
    )
    decoders = dict.fromkeys(each.decoder for each in (source, target) if each.decoder)
    images = f"{source.images}+{target.images}"
    command = command_line("experiments.adapt")
    provenance = Provenance(command, commit(), device_name(), images, "+".join(decoders))
    return DomainsRecord(config, test, NOTHING, (), provenance)


def _picture(run: Run, domains: Domains, workdir: Path) -> None:
    """Both domains' features by the source alone and by a method."""
    config = run.config
    draw_domains(
        features_of_run(_plain(config, workdir), domains, SHOWN),
        features_of_run(run.workdir, domains, SHOWN),
        workdir / f"{config.method}.png",
        f"{config.dataset} to {config.target}: {config.method} ({FLAGS.picture})",
        FLAGS.picture,
    )


def say(records: list[DomainsRecord], workdir: Path) -> None:
    """Write the records where --record asks for it, and say what was found."""
    record_all(records, DOMAINS)
    rows = rows_of(records)
    print(table(lines_of(rows)))
    print("\n".join(notes_of(rows)), end="")
    if len({record.test.draws for record in records}) == 1:
        if kept := kept_lines(rows):
            print(table(kept))
        print(table(choice_lines(rows)))
    print(f"files: {workdir}/ ({', '.join(f'{r.test.method}.json' for r in records)})")
    sys.stdout.flush()
