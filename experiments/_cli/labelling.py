"""The labelling commands of `experiments.active`."""

from collections.abc import Callable
from pathlib import Path

from experiments._cli.define import FLAGS
from experiments._cli.labelling_arguments import place_of, wish
from experiments._cli.personal import warn, write_recogniser
from experiments._cli.personal_arguments import out_file
from metalearn.data.cache import default_root, expanded
from metalearn.errors import UserError
from metalearn.files import check_writable, write_text
from metalearn.labelling.choosing import USUAL, missing
from metalearn.labelling.folder import find_all
from metalearn.labelling.label_studio import (
    config_of,
    is_config,
    is_tasks,
    local_address,
    write_tasks,
)
from metalearn.labelling.pool import look
from metalearn.labelling.progress import progress_of
from metalearn.labelling.state import load_state
from metalearn.labelling.told import (
    counts_text,
    looked_notes,
    missing_notes,
    progress_text,
    taken_notes,
)
from metalearn.labelling.work import (
    export_tasks,
    labelled_photos,
    next_round,
    take_answers,
)
from metalearn.personal.embedding import Embedder, load_embedding
from metalearn.personal.fitting import fit
from metalearn.personal.probed import probed
from metalearn.runtime import configure


def next_photos(*words: str) -> None:
    """`next DIR`: which photos to label next.

    Raises:
      UserError: too few photos are left, or another process works with the state.
    """
    place = place_of(words, "next")
    load_state(place.state)  # before the body is loaded, which takes longer
    asked = next_round(place, _embedder(), wish())
    state = asked.state
    warn(looked_notes(asked.looked, missing(state, asked.looked)))
    waiting = sum(digest in asked.looked.place for digest in state.open)
    new = waiting - asked.before
    before = f", {asked.before} asked about before" if asked.before else ""
    print(f"{waiting} photos to label ({new} new{before}):")
    print(f"  {place.questions}")
    for sheet in asked.sheets:
        print(f"  {sheet}")
    print(
        "write the classes into the column `label`, `skip` for photos of none, then "
        f"`active label {words[0]}`; or sort the photos into folders"
    )


def label(*words: str) -> None:
    """`label DIR [ANSWERS.csv|FOLDER|TASKS.json]`.

    Raises:
      UserError: answers that cannot be taken: none is.
    """
    if len(words) > 2:
        raise UserError("label takes the folder of your photos, and perhaps that of the answers")
    place = place_of(words[:1], "label")
    taken = take_answers(place, Path(words[1]) if len(words) == 2 else None, FLAGS.new_classes)
    warn(taken_notes(taken))
    state = taken.state
    print(
        f"{taken.new} new answers; {len(state.labelled)} photos labelled, {state.skipped} skipped, "
        f"{len(state.open)} asked and open"
    )
    if state.counts:
        print(counts_text(state.counts))


def status(*words: str) -> None:
    """`status DIR`.

    Raises:
      UserError: no such folder, or a state that cannot be read.
    """
    place = place_of(words, "status")
    state = load_state(place.state)
    progress = progress_of(place, state, _embedder(), USUAL)
    warn(missing_notes(progress.missing))
    print(progress_text(progress, USUAL))


def fit_labelled(*words: str) -> None:
    """`fit DIR --out=FILE`.

    Raises:
      UserError: fewer than two classes, photos that cannot be read, or no file to write.
    """
    place = place_of(words, "fit")
    out = out_file()
    state = load_state(place.state)
    if not state.labelled:
        raise UserError(f"no photo of {place.photos} is labelled yet: begin with `active next`")
    embedder = _embedder()
    shown = embedder.embedding.shown
    classes = labelled_photos(place, state, shown.views.pixels)
    there = {shot.digest for shots in classes.values() for shot in shots}
    lacking = state.labelled.keys() - there
    warn(missing_notes(sorted(state.photos[digest].name for digest in lacking)))
    maker = probed(shown, embedder, FLAGS.method)
    write_recogniser(fit(maker, classes, FLAGS.unknown_rate), out)


def export_labelled(*words: str) -> None:
    """`export DIR --out=tasks.json`: for Label Studio.

    Raises:
      UserError: no file to write, or photos that cannot be found.
    """
    place = place_of(words, "export")
    out = _tasks_file()
    state = load_state(place.state)
    embedder = _embedder()
    looked = look(list(find_all(*place).values()), place.photos, embedder)
    tasks = export_tasks(place, looked, embedder.embedding.shown.prior)
    warn(looked_notes(looked, missing(state, looked)))
    address = local_address(place.photos) if FLAGS.address is None else FLAGS.address
    write_tasks(tasks, out, address)
    config = out.with_suffix(".xml")
    write_text(config, config_of(tuple(state.counts)))
    guessed = sum(task.predicted is not None and task.record.open for task in tasks)
    print(f"wrote {out}: {len(tasks)} tasks, {len(state.labelled)} labelled, {guessed} guessed")
    print(f"wrote {config}: the labelling configuration of such a project")


def _tasks_file() -> Path:
    """The file of tasks to write, checked before work begins.

    Raises:
      UserError: none, a folder, another kind of file, or one that cannot be written.
    """
    if not FLAGS.out:
        raise UserError("export needs a file to write: give --out=tasks.json")
    out = Path(FLAGS.out)
    if out.is_dir():
        raise UserError(f"--out={out} is a folder: give the name of a file")
    if out.suffix.lower() != ".json":
        raise UserError(f"--out={out}: give a name that ends in .json, as Label Studio expects")
    for path, ours in ((out, is_tasks), (out.with_suffix(".xml"), is_config)):
        if path.exists() and not ours(path):
            raise UserError(f"{path} is there, and not what export writes: choose another --out")
    check_writable(out.parent)
    return out


COMMANDS: dict[str, Callable[..., None]] = {
    "next": next_photos,
    "label": label,
    "status": status,
    "fit": fit_labelled,
    "export": export_labelled,
}


def _embedder() -> Embedder:
    """What makes the features of photographs, and keeps them."""
    configure(1, "float32")
    embedding = load_embedding(FLAGS.backbone, FLAGS.weights)
    root = expanded(FLAGS.cache_dir) if FLAGS.cache_dir else default_root()
    return Embedder(lambda: embedding, root)
