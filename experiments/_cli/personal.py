"""The commands of `experiments.personalise`."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments._cli.define import FLAGS
from experiments._cli.page import page
from experiments._cli.personal_arguments import (
    class_named,
    file_and_places,
    found_in,
    given,
    out_file,
)
from experiments._cli.personal_changed import check_same, digest_of_file
from experiments._cli.personal_export import export_file
from experiments._cli.personal_unlabelled import find_unlabelled, read_unlabelled
from metalearn.data.cache import default_root, expanded
from metalearn.data.snapshots import (
    Refused,
    Snapshot,
    duplicates_across,
    find_labelled,
    find_photos,
    named_apart,
    notes_on,
    read_snapshots,
)
from metalearn.errors import UserError
from metalearn.personal.answers import answer
from metalearn.personal.changing import added, class_like, learned_elsewhere, removed
from metalearn.personal.embedding import Embedder, load_embedding
from metalearn.personal.evaluating import judged, on_its_own
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.model import Maker
from metalearn.personal.opening import load_fitted, run_maker, save_fitted
from metalearn.personal.probed import probed
from metalearn.personal.reading import readable_ones, said
from metalearn.personal.shown import (
    answers_csv,
    answers_json,
    answers_text,
    evaluation_text,
    expected_text,
    fitted_text,
    head_text,
    threshold_text,
)
from metalearn.runtime import configure


def fit_folder(*words: str) -> None:
    """`fit DIR --out=FILE`.

    Raises:
      UserError: photos that cannot be read, too few classes, or a file that cannot be written.
    """
    (folder,) = given(words, "fit", "a folder with a folder of photos for each class")
    out = out_file()
    root = Path(folder)
    classes = find_labelled(root)
    alike = find_unlabelled()
    warn(notes_on(root))
    _configure()
    maker = _maker()
    size = maker(np.array([len(paths) for paths in classes.values()])).model.pixels
    paths = [path for some in classes.values() for path in some]
    snapshots = iter(readable_ones(paths, size, root))
    read = {name: [next(snapshots) for _ in some] for name, some in classes.items()}
    warn(_advice(read))
    unlabelled = read_unlabelled(alike, size, len(classes))
    write_recogniser(fit(maker, read, FLAGS.unknown_rate, unlabelled), out)


def predict(*words: str) -> None:
    """`predict FILE IMAGE|DIR ...`: answers for all that can be read, then an error for the rest.

    Raises:
      UserError: a photo that cannot be read, or as `load_fitted`.
    """
    (file, places) = file_and_places(words, "predict")
    if FLAGS.json and FLAGS.csv:
        raise UserError("--json and --csv: choose one of them")
    found = found_in(places)
    fitted = _load(file)
    snapshots: list[Snapshot] = []
    refused: list[Refused] = []
    for below, paths in found:
        (read, unreadable) = read_snapshots(paths, fitted.model.pixels, below)
        snapshots += read
        refused += unreadable
    answers = answer(fitted, named_apart(snapshots))
    if FLAGS.json:
        print(answers_json(answers, fitted.classes))
    elif FLAGS.csv:
        print(answers_csv(answers), end="")
    elif answers:
        print(answers_text(answers))
    if refused:
        sys.stdout.flush()
        raise UserError(said(refused))


def add(*words: str) -> None:
    """`add FILE --class=NAME IMAGE|DIR ...`.

    Raises:
      UserError: no class named, a photo that cannot be read, or as `load_fitted`.
    """
    (file, places) = file_and_places(words, "add")
    name = class_named("add")
    paths = [path for place in places for path in find_photos(Path(place))]
    out = out_file(file)
    before = digest_of_file(file)
    fitted = _load(file)
    name = class_like(fitted.classes, name)
    if name not in fitted.classes:
        warn([f"note: {name!r} is a new class"])
    if fitted.alike is not None:
        warn(["note: these photos are taken for ones like the unlabelled, and are not moved"])
    snapshots = readable_ones(paths, fitted.model.pixels)
    elsewhere = learned_elsewhere(fitted, name, snapshots)
    known = [f"note: {each.name} is learned as {other} already" for each, other in elsewhere]
    warn([*_advice({name: snapshots}), *known])
    changed = added(fitted, {name: snapshots})
    new = len(changed.photos.names) - len(fitted.photos.names)
    if new < len(paths):
        warn([f"note: {len(paths) - new} of {len(paths)} photos were there already"])
    check_same(file, before, out)
    write_recogniser(changed, out)


def remove(*words: str) -> None:
    """`remove FILE --class=NAME`.

    Raises:
      UserError: no such class, or as `load_fitted`.
    """
    (file,) = given(words, "remove", "a recogniser's file")
    name = class_named("remove")
    out = out_file(file)
    if FLAGS.weights and not FLAGS.include_body:
        raise UserError("remove reads --weights with --include_body alone: leave it out")
    before = digest_of_file(file)
    changed = removed(_load(file), name)
    check_same(file, before, out)
    write_recogniser(changed, out)


def show(*words: str) -> None:
    """`show FILE`.

    Raises:
      UserError: as `load_fitted`.
    """
    (file,) = given(words, "show", "a recogniser's file")
    print(fitted_text(_load(file)))


def evaluate(*words: str) -> None:
    """`evaluate FILE [DIR]`: on the labelled photos of a folder, or on its own, held out in turn.

    Raises:
      UserError: photos that cannot be read, none of its classes, or as `load_fitted`.
    """
    if not 1 <= len(words) <= 2:
        raise UserError(
            "evaluate takes a recogniser's file, and perhaps a folder of labelled photos"
        )
    if len(words) == 1 and FLAGS.weights:
        raise UserError("evaluate without a folder of photos reads no --weights: leave it out")
    fitted = _load(words[0])
    if len(words) == 1:
        print(evaluation_text(on_its_own(fitted)))
        return
    root = Path(words[1])
    classes = find_labelled(root)
    size = fitted.model.pixels
    read = {name: readable_ones(paths, size, root) for name, paths in classes.items()}
    known = set(fitted.photos.digests)
    own = sum(each.digest in known for some in read.values() for each in some)
    if own:
        warn([f"note: it was fitted to {own} of these photos: they say little of others"])
    if others := [name for name in read if name not in fitted.classes]:
        warn([f"note: not among its classes, tested as unknown: {', '.join(others)}"])
    print(evaluation_text(judged(fitted, read)))


COMMANDS: dict[str, Callable[..., None]] = {
    "fit": fit_folder,
    "predict": predict,
    "add": add,
    "remove": remove,
    "show": show,
    "evaluate": evaluate,
    "export": export_file,
    "page": page,
}


def _maker() -> Maker:
    """What makes the model that the flags name."""
    root = expanded(FLAGS.cache_dir) if FLAGS.cache_dir else default_root()
    if FLAGS.workdir:
        if FLAGS["backbone"].present or FLAGS["weights"].present:
            raise UserError("--workdir names the body: leave out --backbone and --weights")
        return run_maker(Path(FLAGS.workdir), FLAGS.method, root, FLAGS.views)
    embedding = load_embedding(FLAGS.backbone, FLAGS.weights, FLAGS.views)
    return probed(embedding.shown, Embedder(lambda: embedding, root), FLAGS.method)


def _configure() -> None:
    configure(1, "float32")


def _load(file: str) -> Fitted:
    _configure()
    return load_fitted(Path(file), FLAGS.weights)


def _advice(classes: dict[str, list[Snapshot]]) -> list[str]:
    """What is odd about photographs: duplicates, blurred ones."""
    lines = duplicates_across(classes)
    for snapshots in classes.values():
        for snapshot in snapshots:
            if snapshot.doubts:
                lines.append(f"note: {snapshot.name}: {', '.join(snapshot.doubts)}")
    return lines


def warn(lines: list[str]) -> None:
    """Say what is out of the ordinary, beside the output."""
    for line in lines:
        print(line, file=sys.stderr)


def write_recogniser(fitted: Fitted, path: Path) -> None:
    """Write a recogniser's file, and say what it is."""
    save_fitted(fitted, path, FLAGS.include_body)
    counts = fitted.counts
    few = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    print(f"{len(counts)} classes, {counts.sum()} photos ({few} a class); {head_text(fitted)}")
    print(expected_text(fitted.expected))
    print(threshold_text(fitted))
    print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
