"""What `experiments.adapt` does: draws of each method, records, pictures, a table.

Methods here adapt features that are computed once. Those that train a body, see
`experiments._cli.adapt_trained`, leave the same `Outcome` of each draw.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from experiments._cli.adapt_arguments import (
    checked_workdir,
    config_given,
    methods_given,
    pixels_given,
    trains_bodies,
)
from experiments._cli.adapt_images import Domain, open_domains
from experiments._cli.adapt_trained import adapt_bodies, say
from experiments._cli.define import FLAGS
from experiments._cli.draws import begun, missing, path_of
from experiments._cli.lab import check_jax, meet
from experiments._cli.program import command_line, continued
from metalearn.classifiers.run import check_classifier
from metalearn.config import Config
from metalearn.domains.grids import said, settings_of
from metalearn.domains.registry import NONE
from metalearn.domains.trial import (
    Drawn,
    Outcome,
    Recipe,
    Side,
    attempt,
    check_sides,
    draw,
    validators_of,
)
from metalearn.errors import UserError
from metalearn.records.domain_pictures import draw_domains
from metalearn.records.domains import NOTHING, DomainsRecord, DomainsTest
from metalearn.records.domains_store import DOMAINS
from metalearn.records.record import Provenance
from metalearn.records.workdir import lineage_of, lock_workdir
from metalearn.runtime import commit, configure, device_name

Sides = tuple[Side, Side]


def adapt_all() -> None:
    """Adapt with each method in each draw; write records, say what was found.

    Raises:
      UserError: settings, weights or images that do not fit.
    """
    if trains_bodies():
        adapt_bodies()
    else:
        adapt_features()


def adapt_features() -> None:
    """Adapt features with each method in each draw; write records, say what was found.

    Raises:
      UserError: settings, weights or images that do not fit.
    """
    config = config_given()
    methods = methods_given()
    meet()
    configure(config.meta_batch, config.precision)
    check_jax()
    check_classifier(config)
    workdir = checked_workdir(config)
    (config, source, target) = open_domains(config)
    sides = (source.side(), target.side())
    check_sides(*sides)
    names = source.labelled.names
    recipe = Recipe(FLAGS.classifier, FLAGS.images, FLAGS.target_labels or 0, names)
    _check_draws(sides, recipe, config.seed)  # before a folder is made
    workdir.mkdir(parents=True, exist_ok=True)
    with lock_workdir(workdir):
        blanks = _blanks(methods, _blank(config, source, target))
        records = begun(workdir, blanks, DOMAINS)
        # The command that makes all draws is the last one
        for _, name in missing(records):
            new = blanks[name].provenance
            records[name] = dataclasses.replace(records[name], provenance=new)
        _draw_all(records, sides, recipe, workdir)
    say(list(records.values()), workdir)


def _check_draws(sides: Sides, recipe: Recipe, seed: int) -> None:
    """See that draws can be made, and that they differ.

    An interval over the same images twice would say that all is sure.

    Raises:
      UserError: they do not; as `draw`.
    """
    (first, second) = (draw(*sides, recipe, seed + number) for number in range(2))
    arrays = [(each.domains.source_z, each.domains.target_z, each.few) for each in (first, second)]
    pairs = zip(*map(jax.tree.leaves, arrays), strict=True)
    if FLAGS.draws > 1 and all(np.array_equal(*pair) for pair in pairs):
        raise UserError(
            f"--images={FLAGS.images}: all {FLAGS.draws} draws would be the same images: give "
            "--draws=1, or fewer images than the domains have"
        )


def _blank(config: Config, source: Domain, target: Domain) -> DomainsRecord:
    """The record of no method yet, before its first draw."""
    command = continued(command_line("experiments.adapt"), config)
    test = DomainsTest(
        method="",
        source=FLAGS.source,
        target=FLAGS.target,
        pixels=pixels_given(),
        classifier=FLAGS.classifier,
        images=FLAGS.images,
        target_labels=FLAGS.target_labels or 0,
        choices=[],
        validators=validators_of(source.labelled.train.labels),
        draws=0,
        images_hash=f"{source.labelled.hash}+{target.labelled.hash}",
        source_images=len(source.labelled.test.rows),
        target_images=len(target.labelled.test.rows),
    )
    (first, second) = (source.dataset, target.dataset)
    decoders = dict.fromkeys(each.decoder for each in (first, second) if each.decoder)
    images = f"{first.images}+{second.images}"
    provenance = Provenance(command, commit(), device_name(), images, "+".join(decoders))
    return DomainsRecord(config, test, NOTHING, lineage_of(config), provenance)


def _blanks(methods: list[str], blank: DomainsRecord) -> dict[str, DomainsRecord]:
    """The record of each method before its first draw."""
    found = {}
    for name in methods:
        tried = [said(each) for each in settings_of(name, FLAGS.grid)]
        test = dataclasses.replace(blank.test, method=name, choices=tried)
        found[name] = dataclasses.replace(blank, test=test)
    return found


def _draw_all(
    records: dict[str, DomainsRecord], sides: Sides, recipe: Recipe, workdir: Path
) -> None:
    """Make the draws that are missing; each is saved once it is made.

    Args:
      records: of the methods, with the draws that are there.
      sides: source and target.
      recipe: what methods have in common.
      workdir: folder of the records and pictures.
    """
    for number, name in tqdm(missing(records), unit="draw", disable=sys.stderr is None):
        record = records[name]
        drawn = draw(*sides, recipe, record.config.seed + number)
        tried = settings_of(name, FLAGS.grid)
        outcomes = [attempt(name, each, drawn, sides, recipe) for each in tried]
        if number == 0 and FLAGS.picture != NONE:
            _picture(workdir, name, drawn, outcomes[0])
        test = dataclasses.replace(record.test, draws=number + 1)
        measured = record.measured.with_draw(outcomes)
        records[name] = dataclasses.replace(record, test=test, measured=measured)
        DOMAINS.write(path_of(workdir, name), records[name])


def _picture(workdir: Path, name: str, drawn: Drawn, outcome: Outcome) -> None:
    """Both domains' features before a method and after it."""
    domains = drawn.domains
    adapted = outcome.adapted
    assert adapted is not None
    draw_domains(
        (domains.source_z, domains.target_z),
        (adapted.source, adapted.transform(domains.target_z)),
        workdir / f"{name}.png",
        f"{FLAGS.source} to {FLAGS.target}: {name} ({FLAGS.picture})",
        FLAGS.picture,
    )
