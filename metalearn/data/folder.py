"""`folder`: your own images, one folder per class.

Either `FOLDER/CLASS/*.jpg`, and the classes are split by a seed, 64 % for training, 16 % for validation and 20 % for
test (at least one each); or `FOLDER/train/CLASS/*.jpg`, `FOLDER/valid/...` (or `val`) and `FOLDER/test/...`, where no
class may stand in two of them: a test class has to be new.

Below a class folder, images may lie at any depth. Files and folders whose names begin with a dot and files whose
endings are not in `ENDINGS` are passed over, and so is a folder without any image. An image that does not decode is an
error, never skipped.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from metalearn.data.download import hash_of, identities
from metalearn.data.source import Reader, Split
from metalearn.data.splits import SPLITS
from metalearn.errors import UserError

ENDINGS = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
SIZE = 84  # pixels
VALID, TEST = 0.16, 0.20  # shares of the classes

ClassFiles = dict[str, list[Path]]  # class name -> its images, sorted


def reader(seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of a folder of class folders; `seed` and `image_size` as in `metalearn.data.load`."""
    size = image_size or SIZE
    return Reader(partial(read, seed=seed, size=size), (), 1, 1, partial(fingerprint, options=(seed, size)))


def read(folder: Path, seed: int, size: int) -> dict[str, Split]:
    """`Reader.read`: classes and their images sorted by name, images RGB `size` x `size`.

    Raises:
      UserError: an image that does not decode, fewer than three classes, a class in two splits.
    """
    return {split: read_classes(classes, size, split) for split, classes in find_splits(folder, seed).items()}


def fingerprint(folder: Path, options: tuple[int, ...]) -> str:
    """Names, sizes and times of the images below `folder`, hashed together with `options`."""
    return hash_of(options, identities(folder, find_images(folder)))


def find_splits(folder: Path, seed: int) -> dict[str, ClassFiles]:
    """The images of each class of each split; see the module's docstring for the layouts."""
    found = {name: part for name in (*SPLITS, "val") if (part := find_classes(folder / name))}
    if not found:
        return _split_by_seed(folder, find_classes(folder), seed)
    if "val" in found:
        found["valid"] = found.pop("val") | found.get("valid", {})
    if missing := [split for split in SPLITS if split not in found]:
        raise UserError(
            f"{folder} has {', '.join(found)} but no {missing[0]} with class folders: add it, or put all class folders "
            f"into {folder} itself to have them split."
        )
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        if shared := sorted(found[one].keys() & found[other].keys()):
            raise UserError(f"{folder}: class {shared[0]!r} is in {one} and in {other}; keep it in one of them only.")
    return {split: found[split] for split in SPLITS}


def _split_by_seed(folder: Path, classes: ClassFiles, seed: int) -> dict[str, ClassFiles]:
    if len(classes) < 3:
        raise UserError(
            f"{folder} has {len(classes)} class folders with images; it takes 3 or more, as FOLDER/CLASS/image.jpg, to "
            "have classes for training, validation and test."
        )
    names = list(np.random.default_rng(seed).permutation(sorted(classes)).tolist())
    valid, test = (max(1, round(share * len(names))) for share in (VALID, TEST))
    parts = {"train": names[valid + test :], "valid": names[:valid], "test": names[valid : valid + test]}
    return {split: {name: classes[name] for name in sorted(parts[split])} for split in SPLITS}


def find_classes(folder: Path) -> ClassFiles:
    """The visible folders in `folder` with at least one image, sorted by name; {} where there is no such folder."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = {path.name: find_images(path) for path in folders if not path.name.startswith(".")}
    return {name: images for name, images in found.items() if images}


def find_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted; links to folders are followed.

    Raises:
      UserError: no such folder, or one that links to a folder around it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: pass the folder of your images as --data_dir.")
    found: list[Path] = []
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if len(Path(root).parts) - len(folder.parts) > 32:
            raise UserError(f"{root} is nested too deeply: is it a link to a folder around it?")
        images = (name for name in files if not name.startswith(".") and os.path.splitext(name)[1].lower() in ENDINGS)
        found.extend(Path(root, name) for name in images)
    return sorted(found)


def read_classes(classes: ClassFiles, size: int, title: str) -> Split:
    """Decodes the images of `classes`, in their order; `title` names the progress bar (shown on a terminal)."""
    paths = [path for images in classes.values() for path in images]
    counts = np.array([len(images) for images in classes.values()], np.int32)
    return Split(_read_images(paths, size, title), counts, tuple(classes))


def _read_images(paths: Sequence[Path], size: int, title: str) -> np.ndarray:
    """uint8 [M, size, size, 3]."""
    images = np.empty((len(paths), size, size, 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = read_image(paths[index], size)

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's global lock
        for _ in tqdm(pool.map(fill, range(len(paths))), title, len(paths), unit=" images", disable=None):
            pass
    return images


def read_image(path: Path, size: int) -> np.ndarray:
    """uint8 [size, size, 3]: turned upright, made RGB, and resized (not cropped) with Pillow's Lanczos filter.

    Raises:
      UserError: the file does not decode.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("F", "I"):
                raise ValueError(f"pixels of mode {upright.mode} have no known range")
            if upright.mode.startswith("I;16"):  # Pillow would clip, not scale
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return np.asarray(upright.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is not a readable image ({reason}): replace it or take it out.") from error
