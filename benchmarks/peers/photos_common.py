"""What a user would write: photographs to class means of normalised features, one view of each.

As a process, `WORK`; as a command,

    fit FOLDER OUT.npz          FOLDER/CLASS/*.jpg
    predict OUT.npz PHOTO
    prepare                     what is done once on a machine
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks._lib.photos import BATCH, SIDE, first_photo, folder_of_photos
from benchmarks._lib.work import Arrays, Work
from benchmarks._lib.worker import Contender, serve

MEAN, SCALE = 127, 128  # of the network's inputs
Embed = Callable[[np.ndarray], np.ndarray]  # float32 [B,3,160,160] -> [B,1280]


class Peer(NamedTuple):
    """A library.

    Attributes:
      open: gives the network, ready to embed.
      about: its versions.
      prepare: done once on a machine, before all else.
    """

    open: Callable[[], Embed]
    about: dict[str, str]
    prepare: Callable[[], None]


class Means(NamedTuple):
    """What is fitted: names [C] and means [C,D] of the classes, of length one."""

    names: np.ndarray
    means: np.ndarray


def picture(path: Path) -> np.ndarray:
    """The central square of a photograph, uint8 [160,160,3]."""
    with Image.open(path) as image:
        (width, height) = image.size
        side = min(width, height)
        left = (width - side) // 2
        top = (height - side) // 2
        square = (left, top, left + side, top + side)
        rgb = image.convert("RGB")
        return np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.BICUBIC, square))


def unit(z: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def features(embed: Embed, images: np.ndarray) -> np.ndarray:
    """Features [B,D] of images uint8 [B,160,160,3], of length one."""
    x = (images.astype(np.float32) - MEAN) / SCALE
    return unit(embed(np.ascontiguousarray(x.transpose(0, 3, 1, 2))))


def fit(embed: Embed, folder: Path) -> Means:
    """The class means of a folder's photographs."""
    names = sorted(path.name for path in folder.iterdir())
    paths = [(name, path) for name in names for path in sorted((folder / name).iterdir())]
    found = []
    for start in range(0, len(paths), BATCH):
        images = [picture(path) for _, path in paths[start : start + BATCH]]
        found.append(features(embed, np.stack(images)))
    z = np.concatenate(found)
    labels = np.array([name for name, _ in paths])
    means = [z[labels == name].mean(0) for name in names]
    return Means(np.array(names), unit(np.stack(means)))


def predict(embed: Embed, fitted: Means, path: Path) -> tuple[str, float]:
    """The class of a photograph, and its cosine to the mean."""
    (z,) = features(embed, picture(path)[None])
    cosines = fitted.means @ z
    best = int(cosines.argmax())
    return str(fitted.names[best]), float(cosines[best])


def make(peer: Peer, work: Work) -> Contender:
    """The peer in a running process."""
    embed = peer.open()
    folder = folder_of_photos()

    def fits(count: int) -> float:
        return float(np.mean([fit(embed, folder).means.mean() for _ in range(count)]))

    def compare(given: Arrays) -> Arrays:
        return {"features": features(embed, given["x"])}

    def peaks(size: int) -> tuple[float, float]:
        raise NotImplementedError("nothing is compared with peaks")

    if work.part == "fit":
        return Contender(peer.about, fits, compare, peaks)
    fitted = fit(embed, folder)
    asked = first_photo(folder)

    def predicts(count: int) -> float:
        return float(np.mean([predict(embed, fitted, asked)[1] for _ in range(count)]))

    return Contender(peer.about, predicts, compare, peaks)


def run(peer: Peer) -> None:
    """Carry out a command, or answer as a process."""
    (command, *words) = sys.argv[1:]
    if command == "prepare":
        peer.prepare()
    elif command == "fit":
        fitted = fit(peer.open(), Path(words[0]))
        np.savez(words[1], names=fitted.names, means=fitted.means)
    elif command == "predict":
        with np.load(words[0]) as arrays:
            fitted = Means(arrays["names"], arrays["means"])
        print(*predict(peer.open(), fitted, Path(words[1])))
    else:
        serve(lambda work: make(peer, work))
