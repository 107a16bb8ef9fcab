"""Flags and words of `experiments.personalise`."""

from pathlib import Path

from experiments._cli.define import FLAGS, define_choice, define_flag
from experiments._cli.page import define_page
from experiments._cli.personal_export import define_export
from metalearn.data.snapshots import find_photos
from metalearn.domains.moved import MOVES, RECENTRE
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.personal.embedding import BODY
from metalearn.personal.file import is_recogniser
from metalearn.personal.heads import AUTO, HEADS
from metalearn.personal.unknown import RATE
from metalearn.personal.views import NAMES, USUAL


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
    define_choice(
        "views",
        USUAL,
        NAMES,
        "of `fit`: parts of a photo that the body is shown: all of it, its middle, and corners of "
        "those fitted to (usual); no corners (plain); all of it alone (whole); larger parts, for "
        "things that fill small photos (wide); see experiments.few_photos",
    )
    define_flag("weights", None, "file of the body's weights [those installed]")
    define_flag(
        "unknown_rate",
        RATE,
        "of `fit`: share of photos of other classes that may be accepted; 1: nothing is unknown",
    )
    define_flag(
        "unlabelled",
        None,
        "of `fit`: folder of photos like those that will be asked, where the labelled ones are of "
        "another kind, such as product pictures",
    )
    define_choice("adapt", RECENTRE, MOVES, "of `fit`: how the labelled are moved among these")
    define_flag("cache_dir", None, "of `fit`: folder for features of photos [~/.cache/metalearn]")
    define_flag("include_body", False, "write the body's weights into the recogniser too")
    define_flag("json", False, "of `predict`: as JSON, with the probabilities of all classes")
    define_flag("csv", False, "of `predict`: as CSV")
    define_export()
    define_page()


def given(words: tuple[str, ...], command: str, what: str) -> tuple[str, ...]:
    """The one word that a command takes.

    Raises:
      UserError: there is none, or more.
    """
    if len(words) != 1:
        raise UserError(f"{command} takes {what}, and nothing else beside flags; see --help")
    return words


def file_and_places(words: tuple[str, ...], command: str) -> tuple[str, tuple[str, ...]]:
    """A recogniser's file, and photographs or folders.

    Raises:
      UserError: one is missing.
    """
    if len(words) < 2:
        raise UserError(f"{command} takes a recogniser's file, then photos or folders; see --help")
    return words[0], words[1:]


def found_in(places: tuple[str, ...]) -> list[tuple[Path | None, list[Path]]]:
    """Photographs by the folder below which they are named; files one after the other together."""
    found: list[tuple[Path | None, list[Path]]] = []
    for place in map(Path, places):
        below = place if place.is_dir() else None
        if below is None and found and found[-1][0] is None:
            found[-1][1].extend(find_photos(place))
        else:
            found.append((below, find_photos(place)))
    return found


def class_named(command: str) -> str:
    """The name that --class gives.

    Raises:
      UserError: it gives none.
    """
    name = FLAGS["class"].value
    if not name or not name.strip():
        raise UserError(f"{command} needs the name of a class: give --class=NAME")
    return name


def out_file(changed: str | None = None) -> Path:
    """The file to write, checked before work begins.

    Args:
      changed: the recogniser that is changed, which is written anew without --out.

    Raises:
      UserError: no file, a folder, another kind of file, or one that cannot be written.
    """
    given = FLAGS.out or changed
    if not given:
        raise UserError("fit needs a file to write: give --out=mine.recogniser")
    path = Path(given)
    if path.is_dir():
        raise UserError(f"--out={path} is a folder: give the name of a file")
    if path.exists() and given != changed and not is_recogniser(path):
        raise UserError(f"--out={path} is there, and no recogniser: choose another name")
    check_writable(path.parent)
    return path
