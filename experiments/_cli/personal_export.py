"""The command `export` of `experiments.personalise`."""

from pathlib import Path

from experiments._cli.define import FLAGS, define_choice, define_flag
from metalearn.data.snapshots import find_photos
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.personal.changing import class_like
from metalearn.personal.export import FORMATS, export
from metalearn.personal.export_check import agreement_text, compared
from metalearn.personal.fitted import Fitted
from metalearn.personal.opening import load_fitted
from metalearn.personal.reading import readable_ones
from metalearn.runtime import configure


def define_export() -> None:
    """Define the flags of `export`; --out and --weights are those of other commands too."""
    define_choice("format", FORMATS[0], FORMATS, "of `export`: what --out becomes")
    define_flag("int8", False, "of `export`: weights of the body in 8 bits, a quarter of the size")
    define_flag(
        "check",
        None,
        "of `export`: folder of photos to compare the file's answers with the recogniser's on",
    )


EXPORTS = (".onnx", ".tflite")  # files that a later export may replace


def export_file(*words: str) -> None:
    """`export FILE --format=FORMAT --out=FILE [--int8] [--check=DIR]`.

    Raises:
      UserError: a package that is missing, photos that cannot be read, or as `export`.
    """
    if len(words) != 1:
        raise UserError("export takes a recogniser's file, and nothing else beside flags")
    if not FLAGS.out:
        raise UserError(f"export needs a file to write: give --out=mine.{FLAGS.format}")
    out = Path(FLAGS.out)
    if FLAGS.format != "savedmodel" and out.is_dir():
        raise UserError(f"--out={out} is a folder: give the name of a file")
    if out.is_file() and (out.samefile(words[0]) or out.suffix not in EXPORTS):
        raise UserError(f"--out={out} is there, and no export: choose another name")
    check_writable(out.parent)
    paths = find_photos(Path(FLAGS.check)) if FLAGS.check else []
    configure(1, "float32")
    fitted = load_fitted(Path(words[0]), FLAGS.weights)
    export(fitted, out, FLAGS.format, FLAGS.int8)
    size = sum(file.stat().st_size for file in (out, *out.rglob("*")) if file.is_file())
    print(f"wrote {out} ({size / 1e6:.1f} MB)")
    if paths:
        _check(fitted, out, paths)


def _check(fitted: Fitted, out: Path, paths: list[Path]) -> None:
    root = Path(FLAGS.check)
    snapshots = readable_ones(paths, fitted.model.pixels, root)
    labels = [_label(fitted, root, path) for path in paths]
    print(agreement_text(compared(fitted, out, FLAGS.format, snapshots, labels)))


def _label(fitted: Fitted, root: Path, path: Path) -> int:
    """The class of a photo in a folder of its name; -1 for others."""
    first = path.relative_to(root).parts[0] if path.is_relative_to(root) else ""
    label = class_like(fitted.classes, first)
    return fitted.classes.index(label) if label in fitted.classes else -1
