"""Flags and words of the labelling commands of `experiments.active`."""

from pathlib import Path

from experiments._cli.define import FLAGS, define_choice, define_flag
from metalearn.active.registry import AUTO, STRATEGIES
from metalearn.errors import UserError
from metalearn.labelling.choosing import USUAL, Wish
from metalearn.labelling.folder import state_folder
from metalearn.labelling.label_studio import LOCAL
from metalearn.labelling.work import Place
from metalearn.personal import heads
from metalearn.personal.embedding import BODY
from metalearn.personal.unknown import RATE


def define_labelling() -> None:
    """Define the flags of all labelling commands."""
    define_flag("state", None, "folder of what was asked and answered [DIR/.labelling]")
    define_flag(
        "n",
        USUAL,
        "of `next`: photos to be answered, those that are asked about already included",
        lower_bound=1,
    )
    define_choice("strategy", AUTO, tuple(STRATEGIES), "of `next`: how photos are chosen")
    define_flag(
        "classes", 0, "of `next`: a guess of how many there are [those named so far]", lower_bound=0
    )
    define_flag("seed", 0, "of `next`: of all that is drawn", lower_bound=0)
    define_flag("new_classes", False, "of `label`: take labels that no photo has so far")
    define_flag("out", None, "of `fit` and `export`: file that is written")
    define_flag(
        "address",
        None,
        "of `export`: what stands before a photo's name in Label Studio's tasks "
        f"[{LOCAL}FOLDER/, where its document root is what the folder lies in]",
    )
    define_choice(
        "method", heads.AUTO, (heads.AUTO, *heads.HEADS), "of `fit`: what is fitted to the features"
    )
    define_flag(
        "unknown_rate",
        RATE,
        "of `fit`: share of photos of other classes that may be accepted; 1: nothing is unknown",
    )
    define_flag("include_body", False, "of `fit`: write the body's weights too")
    define_flag("backbone", BODY, "the pre-trained body")
    define_flag("weights", None, "file of the body's weights [those installed]")
    define_flag("cache_dir", None, "folder for features of photos [~/.cache/metalearn]")


def place_of(words: tuple[str, ...], command: str) -> Place:
    """The folder of photographs that is the one word of a command, and that of its state.

    Raises:
      UserError: another number of words, or no such folder.
    """
    if len(words) != 1:
        raise UserError(f"{command} takes the folder of your photos, and nothing else; see --help")
    photos = Path(words[0])
    return Place(photos, state_folder(photos, FLAGS.state))


def wish() -> Wish:
    """What --n, --strategy, --classes and --seed ask for."""
    number = FLAGS.n if FLAGS["n"].present else None
    return Wish(number, FLAGS.strategy, FLAGS.classes, FLAGS.seed)
