"""The commands of `experiments.personalise`."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments._cli.define import FLAGS, define_choice, define_flag
from metalearn.data.snapshots import (
    Snapshot,
    duplicates_across,
    find_labelled,
    find_photos,
    notes_on,
    read_snapshots,
)
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.personal.answers import answer
from metalearn.personal.changing import added, removed
from metalearn.personal.embedding import BODY, Embedder, load_embedding
from metalearn.personal.evaluating import judged, on_its_own
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.heads import AUTO, HEADS
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
    threshold_text,
)
from metalearn.personal.unknown import RATE
from metalearn.runtime import configure


def define_personal() -> None:
    """Define the flags of all commands."""
    define_flag("out", None, "file of the recogniser that is written")
    define_flag("class", None, "of `add` and `remove`: name of the class")
    define_choice("method", AUTO, (AUTO, *HEADS), "of `fit`: what is fitted to the features")
    define_flag("backbone", BODY, "of `fit`: the pre-trained body")
    define_flag(
        "workdir",
        None,
        "of `fit`: a run of this project, meta-trained or fine-tuned, in place of a body",
    )
    define_flag("weights", None, "file of the body's weights [those installed]")
    define_flag(
        "unknown_rate",
        RATE,
        "of `fit`: share of photos of other classes that may be accepted; 1: nothing is unknown",
    )
    define_flag("include_body", False, "write the body's weights into the recogniser too")
    define_flag("json", False, "of `predict`: as JSON, with the probabilities of all classes")
    define_flag("csv", False, "of `predict`: as CSV")


def fit_folder(*words: str) -> None:
    """`fit DIR --out=FILE`.

    Raises:
      UserError: photos that cannot be read, too few classes, or a file that cannot be written.
    """
    (folder,) = _given(words, "fit", "a folder with a folder of photos for each class")
    out = _out()
    root = Path(folder)
    classes = find_labelled(root)
    _warn(notes_on(root))
    _configure()
    maker = _maker()
    size = maker(np.array([len(paths) for paths in classes.values()])).model.pixels
    paths = [path for some in classes.values() for path in some]
    snapshots = iter(readable_ones(paths, size, root))
    read = {name: [next(snapshots) for _ in some] for name, some in classes.items()}
    _warn(_advice(read))
    _write(fit(maker, read, FLAGS.unknown_rate), out)


def predict(*words: str) -> None:
    """`predict FILE IMAGE|DIR ...`: answers for all that can be read, then an error for the rest.

    Raises:
      UserError: a photo that cannot be read, or as `load_fitted`.
    """
    (file, places) = _file_and_places(words, "predict")
    if FLAGS.json and FLAGS.csv:
        raise UserError("--json and --csv: choose one of them")
    paths = [path for place in places for path in find_photos(Path(place))]
    fitted = _load(file)
    (snapshots, refused) = read_snapshots(paths, fitted.model.pixels)
    answers = answer(fitted, snapshots)
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
    (file, places) = _file_and_places(words, "add")
    name = _class_named("add")
    paths = [path for place in places for path in find_photos(Path(place))]
    fitted = _load(file)
    snapshots = readable_ones(paths, fitted.model.pixels)
    _warn(_advice({name: snapshots}))
    changed = added(fitted, {name: snapshots})
    new = len(changed.photos.names) - len(fitted.photos.names)
    if new < len(paths):
        _warn([f"note: {len(paths) - new} of {len(paths)} photos were there already"])
    _write(changed, Path(FLAGS.out or file))


def remove(*words: str) -> None:
    """`remove FILE --class=NAME`.

    Raises:
      UserError: no such class, or as `load_fitted`.
    """
    (file,) = _given(words, "remove", "a recogniser's file")
    name = _class_named("remove")
    _write(removed(_load(file), name), Path(FLAGS.out or file))


def show(*words: str) -> None:
    """`show FILE`.

    Raises:
      UserError: as `load_fitted`.
    """
    (file,) = _given(words, "show", "a recogniser's file")
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
    fitted = _load(words[0])
    if len(words) == 1:
        print(evaluation_text(on_its_own(fitted)))
        return
    root = Path(words[1])
    classes = find_labelled(root)
    size = fitted.model.pixels
    read = {name: readable_ones(paths, size, root) for name, paths in classes.items()}
    print(evaluation_text(judged(fitted, read)))


COMMANDS: dict[str, Callable[..., None]] = {
    "fit": fit_folder,
    "predict": predict,
    "add": add,
    "remove": remove,
    "show": show,
    "evaluate": evaluate,
}


def _given(words: tuple[str, ...], command: str, what: str) -> tuple[str, ...]:
    if len(words) != 1:
        raise UserError(f"{command} takes {what}, and nothing else beside flags; see --help")
    return words


def _file_and_places(words: tuple[str, ...], command: str) -> tuple[str, tuple[str, ...]]:
    if len(words) < 2:
        raise UserError(f"{command} takes a recogniser's file, then photos or folders; see --help")
    return words[0], words[1:]


def _class_named(command: str) -> str:
    name = FLAGS["class"].value
    if not name or not name.strip():
        raise UserError(f"{command} needs the name of a class: give --class=NAME")
    return str(name).strip()


def _out() -> Path:
    """The file to write, checked before work begins."""
    if not FLAGS.out:
        raise UserError("fit needs a file to write: give --out=mine.recogniser")
    path = Path(FLAGS.out)
    if path.is_dir():
        raise UserError(f"--out={path} is a folder: give the name of a file")
    check_writable(path.parent)
    return path


def _maker() -> Maker:
    """What makes the model that the flags name."""
    if FLAGS.workdir:
        if FLAGS["backbone"].present or FLAGS["weights"].present:
            raise UserError("--workdir names the body: leave out --backbone and --weights")
        return run_maker(Path(FLAGS.workdir), FLAGS.method)
    embedding = load_embedding(FLAGS.backbone, FLAGS.weights)
    return probed(embedding.shown, Embedder(lambda: embedding), FLAGS.method)


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


def _warn(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _write(fitted: Fitted, path: Path) -> None:
    save_fitted(fitted, path, FLAGS.include_body)
    counts = fitted.counts
    few = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    print(f"{len(counts)} classes, {counts.sum()} photos ({few} a class); head: {fitted.chosen}")
    print(expected_text(fitted.expected))
    print(threshold_text(fitted))
    print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
