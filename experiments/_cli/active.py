"""What `experiments.active` does where all labels are known: rounds of each strategy, records."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from experiments._cli.active_arguments import (
    TRAINED,
    config_given,
    rules_given,
    strategies_given,
    within,
    workdir_of,
)
from experiments._cli.define import FLAGS
from experiments._cli.draws import begun, grouped, missing, path_of, record_all
from experiments._cli.flags import MOST_SEEDS
from experiments._cli.lab import check_jax, meet
from experiments._cli.material import open_material
from experiments._cli.places import check_run_folder
from experiments._cli.program import command_line, continued
from metalearn.active.heads import head_fit
from metalearn.active.images import Fit, Images
from metalearn.active.registry import STRATEGIES
from metalearn.active.simulation import simulate
from metalearn.active.trial import Rules
from metalearn.classifiers.rounds import trained_fit
from metalearn.classifiers.run import check_classifier
from metalearn.config import Config
from metalearn.data.alike import groups_of
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.records.active import ACTIVE, NOTHING, ActiveRecord, ActiveTest
from metalearn.records.active_rows import ActiveRow
from metalearn.records.active_tables import lines_of
from metalearn.records.markdown import table
from metalearn.records.record import Provenance
from metalearn.records.workdir import lineage_of, lock_workdir
from metalearn.runtime import commit, configure, device_name
from metalearn.training.material import Material, features_of, images_of


def simulate_all() -> None:
    """Simulate each strategy with each seed; write records, say what was found.

    Raises:
      UserError: settings, weights or images that do not fit.
    """
    config = config_given()
    rules = rules_given()
    names = strategies_given()
    meet()
    configure(config.meta_batch, config.precision)
    check_jax()
    check_classifier(config)
    if FLAGS.record:
        check_writable(Path(FLAGS.results_dir))
    workdir = workdir_of(config)
    check_run_folder(workdir)
    (config, material) = open_material(config)
    there = len(material.labelled.train.rows)
    if rules.pool > there:
        raise UserError(f"--pool={rules.pool}: there are {there} images to draw from")
    rules = within(rules, rules.pool or there)
    images = images_from(material, rules.distinct)
    workdir.mkdir(parents=True, exist_ok=True)
    with lock_workdir(workdir):
        blanks = _blanks(names, _blank(config, material, rules))
        records = begun(workdir, blanks, ACTIVE)
        _draw(records, images, rules, workdir, _fit(config, material, workdir))
    _finish(list(records.values()), workdir)


def images_from(material: Material, distinct: bool) -> Images:
    """Features and labels of the training images, as a pool, and of the test images.

    Args:
      material: body and images.
      distinct: whether images that show the same are looked for.
    """
    features = features_of(material, None, ("train", "test"))
    (names, train, _, test) = material.labelled
    z = np.asarray(features.train.images)
    alike = np.arange(len(z))
    if distinct:
        alike = groups_of(images_of(material).train.images, near=True)
    labels = (train.labels.astype(np.int64), test.labels.astype(np.int64))
    return Images(
        z=z,
        y=labels[0],
        alike=alike,
        test_z=np.asarray(features.test.images),
        test_y=labels[1],
        classes=len(names),
        places=np.arange(len(z)),
    )


def _blank(config: Config, material: Material, rules: Rules) -> ActiveRecord:
    """The record of a strategy without a name, before its first draw."""
    command = continued(command_line("experiments.active"), config)
    test = ActiveTest(
        strategy="",
        classifier=FLAGS.classifier,
        budgets=list(rules.budgets),
        pool=rules.pool,
        balanced=rules.balanced,
        distinct=rules.distinct,
        draws=0,
        images_hash=material.labelled.hash,
        images=len(material.labelled.test.rows),
        stop=rules.stop,
    )
    dataset = material.dataset
    provenance = Provenance(command, commit(), device_name(), dataset.images, dataset.decoder)
    return ActiveRecord(config, test, NOTHING, lineage_of(config), provenance)


def _blanks(names: list[str], blank: ActiveRecord) -> dict[str, ActiveRecord]:
    """The record of each strategy before its first draw."""
    return {
        name: dataclasses.replace(blank, test=dataclasses.replace(blank.test, strategy=name))
        for name in names
    }


def _fit(config: Config, material: Material, workdir: Path) -> Fit:
    """What is fitted in each round."""
    if FLAGS.classifier in TRAINED:
        return trained_fit(config, material, workdir / "training")
    return head_fit(FLAGS.classifier)


def _draw(
    records: dict[str, ActiveRecord], images: Images, rules: Rules, workdir: Path, fit: Fit
) -> None:
    """Make the draws that are missing; those of one program are saved once they are made.

    Args:
      records: of the strategies, with the draws that are there.
      images: features and labels.
      rules: how labels are asked for.
      workdir: folder of the records.
      fit: what is fitted in each round.
    """
    groups = grouped(missing(records), _at_once())
    for name, draws in tqdm(groups, unit="draw", disable=sys.stderr is None):
        record = records[name]
        seeds = [record.config.seed + draw for draw in draws]
        for rounds in simulate(STRATEGIES[name], images, rules, fit, seeds):
            test = dataclasses.replace(record.test, draws=record.test.draws + 1)
            measured = record.measured.with_draw(rounds)
            record = dataclasses.replace(record, test=test, measured=measured)
        records[name] = record
        ACTIVE.write(path_of(workdir, name), record)


def _at_once() -> int:
    """How many draws choose in one program, where the user does not say."""
    slower = jax.default_backend() == "cpu" or FLAGS.classifier in TRAINED
    return FLAGS.at_once or (1 if slower else MOST_SEEDS)


def _finish(records: list[ActiveRecord], workdir: Path) -> None:
    """Write the records where --record asks for it, and say what was found."""
    record_all(records, ACTIVE)
    rows = [ActiveRow(record, records[0]) for record in records]
    print(table(lines_of(rows)))
    print(f"files: {workdir}/ ({', '.join(f'{r.test.strategy}.json' for r in records)})")
