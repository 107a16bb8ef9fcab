"""What `experiments.few_photos` does: features of a dataset, draws, means, a record."""

import json
from functools import partial
from pathlib import Path

import numpy as np

from experiments._cli.define import FLAGS, define_choice, define_flag
from experiments._cli.few_photos_said import measured, said
from experiments._cli.flags import define_dataset, define_inputs
from experiments._cli.program import command_line
from metalearn.data import load
from metalearn.data.cache import default_root, expanded
from metalearn.data.labels import Part, labelled
from metalearn.data.source import Dataset
from metalearn.domains.moved import MOVES, RECENTRE
from metalearn.domains.types import check_same_classes
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.learners.supervised_recipes import usual_size
from metalearn.personal.embedding import (
    BODY,
    Embedder,
    Embedding,
    features,
    load_embedding,
)
from metalearn.personal.heads import AUTO, HEADS
from metalearn.personal.model import rounded
from metalearn.personal.probed import probed
from metalearn.personal.study import Outcome, Protocol, check_protocol, outcomes
from metalearn.personal.unknown import RATE
from metalearn.personal.views import NAMES, USUAL, View, Views, list_of, views_named
from metalearn.records.personal import PERSONAL, PersonalRecord, PersonalTest
from metalearn.records.record import Provenance
from metalearn.runtime import commit, configure, device_name
from metalearn.training.features import cached_features, features_path
from metalearn.training.lab import mesh_of

CENTRES = ("others", "own", "none")


def define_few_photos() -> None:
    """Define the flags."""
    define_dataset()
    define_inputs()
    define_flag("ways", 5, "classes of a recogniser; 0 for all", lower_bound=0)
    define_flag(
        "labels", 1, "photos of each that it is fitted to, if it has so many", lower_bound=1
    )
    define_flag("unknown", 0, "further classes, that it should not know", lower_bound=0)
    define_flag("draws", 20, "recognisers", lower_bound=1)
    define_flag("seed", 0, "of the draws", lower_bound=0)
    define_choice("tested", "test", ("test", "valid"), "photos to test on; valid to choose by")
    define_choice("method", AUTO, (AUTO, *HEADS), "what is fitted to the features")
    define_flag("backbone", BODY, "the pre-trained body")
    define_flag("weights", None, "file of its weights [those installed]")
    define_flag(
        "input_size",
        None,
        "pixels a side that it is shown [160 for EfficientNet-Lites, else its own]",
        int,
        lower_bound=1,
    )
    define_choice(
        "views",
        USUAL,
        NAMES,
        "of a photo: all of it at up to 1.4 times the size and its middle, corners too of those "
        "fitted to (usual); without the corners (plain); all of it alone (whole); all of it at the "
        "size of the others (one-size); its middle three quarters of a side, and two corners of "
        "four fifths (wide)",
    )
    define_flag("mirror", False, "show each view mirrored as well")
    define_choice("centre", "others", CENTRES, "what features are centred by, of centroids")
    define_flag(
        "alike",
        None,
        "dataset with the same classes, of whose training photos some are given without labels: "
        "those that are fitted to are moved among them, as by --unlabelled of personalise",
    )
    define_flag(
        "unlabelled", 1000, "how many of --alike, at most, of a draw's classes", lower_bound=1
    )
    define_choice("adapt", RECENTRE, MOVES, "how photos are moved among those of --alike")
    define_flag("unknown_rate", RATE, "share of unknown photos that may be accepted")
    define_flag("record", False, "write a record")
    define_flag("results_dir", "results", "folder of the records")


def measure() -> None:
    """Measure, and say it.

    Raises:
      UserError: no such dataset, or too few classes.
    """
    configure(2, "float32")
    if FLAGS.record:
        check_writable(Path(FLAGS.results_dir))
    embedding = _embedding()
    views = embedding.shown.views
    dataset = load(FLAGS.dataset, FLAGS.data_dir, FLAGS.cache_dir)
    found = labelled(dataset, classes=FLAGS.tested)
    protocol = Protocol(
        ways=FLAGS.ways,
        labels=FLAGS.labels,
        unknown=FLAGS.unknown,
        draws=FLAGS.draws,
        seed=FLAGS.seed,
        unknown_rate=FLAGS.unknown_rate,
        unlabelled=FLAGS.unlabelled if FLAGS.alike else 0,
        adapt=FLAGS.adapt if FLAGS.alike else "",
    )
    check_protocol(protocol, found.test)
    if not found.train.counts.all():
        raise UserError(f"{FLAGS.dataset}: some classes have no photos to fit to")
    alike = _alike(found.names)
    fitted = _features(dataset, found.train, embedding, views.shown + views.fitted)
    tested = _features(dataset, found.test, embedding, views.shown)
    unlabelled = None
    if alike is not None:
        (others, part) = alike
        unlabelled = (part, _features(others, part, embedding, views.shown))
    maker = probed(embedding.shown, Embedder(lambda: embedding), FLAGS.method)
    parts = ((found.train, rounded(fitted)), (found.test, tested), unlabelled)
    done = list(outcomes(protocol, maker, found.names, *parts))
    record = _record(protocol, embedding, dataset, done)
    print(said(record))
    if FLAGS.record:
        path = PERSONAL.path(Path(FLAGS.results_dir), record)
        PERSONAL.write(path, record)
        print(f"recorded: {path}")


def _alike(names: tuple[str, ...]) -> tuple[Dataset, Part] | None:
    """The data set of --alike, and its photographs that may be given; None without it.

    Raises:
      UserError: no such dataset, or its classes are others; a flag that needs it.
    """
    if not FLAGS.alike:
        for name in ("unlabelled", "adapt"):
            if FLAGS[name].present:
                raise UserError(f"--{name} is about photos of --alike: give it too")
        return None
    dataset = load(FLAGS.alike, FLAGS.data_dir, FLAGS.cache_dir)
    found = labelled(dataset, classes=FLAGS.tested)
    check_same_classes(names, found.names)
    return dataset, found.train


def _embedding() -> Embedding:
    """The embedding by the views that the flags name, with features centred as --centre says."""
    embedding = load_embedding(FLAGS.backbone, FLAGS.weights)
    own = embedding.shown.inputs.size[0]
    size = FLAGS.input_size or usual_size(embedding.shown.body) or own
    views = views_named(FLAGS.views, size, own)._replace(mirror=FLAGS.mirror)
    shown = embedding.shown._replace(views=views)
    embedding = embedding._replace(shown=shown)
    if FLAGS.centre == "others":
        return embedding
    prior = 0.0 if FLAGS.centre == "own" else float("inf")
    return embedding._replace(shown=shown._replace(mean=np.zeros_like(shown.mean), prior=prior))


def _features(
    dataset: Dataset, part: Part, embedding: Embedding, views: tuple[View, ...]
) -> np.ndarray:
    """Features of a part's photographs, computed once and kept on disk."""
    shown = embedding.shown
    # Whatever they are centred by, they are kept without
    plain = embedding._replace(shown=shown._replace(mean=np.zeros_like(shown.mean)))
    stage = json.dumps([list_of(Views(views, (), shown.views.mirror)), "views"])
    root = expanded(FLAGS.cache_dir) if FLAGS.cache_dir else default_root()
    path = features_path(root, dataset, part.split, shown.weights, shown.inputs, stage)
    images = getattr(dataset, part.split).images
    function = partial(features, plain, views)
    found = cached_features(path, function, embedding.params, images, mesh_of(None))
    return np.asarray(found[part.rows]) - shown.mean


def _body_shown(body: str) -> str:
    """The body's name, and how large its images are where that is not usual."""
    size = FLAGS.input_size
    return body if size in (None, usual_size(body)) else f"{body}-{size}px"


def _record(
    protocol: Protocol, embedding: Embedding, dataset: Dataset, done: list[Outcome]
) -> PersonalRecord:
    shown = embedding.shown
    test = PersonalTest(
        dataset=FLAGS.dataset,
        part=FLAGS.tested,
        body=_body_shown(shown.body),
        weights=shown.weights[:16],
        views=FLAGS.views,
        mirror=FLAGS.mirror,
        centre=FLAGS.centre,
        method=FLAGS.method,
        alike=FLAGS.alike or "",
        **protocol._asdict(),
    )
    command = command_line("experiments.few_photos")
    provenance = Provenance(command, commit(), device_name(), dataset.images, dataset.decoder)
    return PersonalRecord(test, measured(done), provenance)
