"""Whether an exported file answers as its recogniser does, by the programs it is made for."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.personal.answers import answer
from metalearn.personal.export import INPUT, OUTPUTS, needed
from metalearn.personal.fitted import Fitted

AT_ONCE = 16  # images
Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Agreement(NamedTuple):
    """How a file's answers differ from a recogniser's.

    Attributes:
      photos: that both were asked of.
      same: share for which both name the same class.
      probability: largest difference of a probability.
      familiarity: largest difference of a familiarity.
      accuracy: of the recogniser and of the file, for photographs whose class is known; None
        where there are none.
      milliseconds: of the processor that the file takes for one image, the median; other work on
        the machine does not count.
    """

    photos: int
    same: float
    probability: float
    familiarity: float
    accuracy: tuple[float, float] | None
    milliseconds: float


def compared(
    fitted: Fitted, path: Path, form: str, snapshots: Sequence[Snapshot], labels: Sequence[int]
) -> Agreement:
    """The answers of a recogniser and of the file that was made of it.

    Args:
      fitted: the recogniser.
      path: of the file.
      form: its format.
      snapshots: photographs, one at least.
      labels: their classes, -1 where that is not known.

    Raises:
      UserError: the package that reads the file is not installed.
    """
    run = RUNNERS[form](path)
    asked = answer(fitted, snapshots)
    probabilities = np.stack([one.probabilities for one in asked])
    familiarity = np.array([one.familiarity for one in asked])
    images = np.stack([one.pixels for one in snapshots])
    parts = [run(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)]
    (found, familiar) = (np.concatenate(part) for part in zip(*parts, strict=True))
    known = np.array(labels) >= 0
    right = [p.argmax(1)[known] == np.array(labels)[known] for p in (probabilities, found)]
    return Agreement(
        photos=len(images),
        same=float((found.argmax(1) == probabilities.argmax(1)).mean()),
        probability=float(np.abs(found - probabilities).max()),
        familiarity=float(np.abs(familiar - familiarity).max()),
        accuracy=(float(right[0].mean()), float(right[1].mean())) if known.any() else None,
        milliseconds=_milliseconds(run, images[:1]),
    )


def agreement_text(found: Agreement) -> str:
    """A comparison in a line or two."""
    lines = [
        f"checked with {found.photos} photos: the same class for {found.same:.1%}; largest "
        f"difference {found.probability:.2g} of a probability, {found.familiarity:.2g} of a "
        f"familiarity; {found.milliseconds:.1f} CPU ms a photo"
    ]
    if found.accuracy is not None:
        (own, other) = found.accuracy
        lines.append(f"accuracy {own:.1%} of the recogniser, {other:.1%} of the file")
    return "\n".join(lines)


def _milliseconds(run: Run, image: np.ndarray) -> float:
    times = []
    for _ in range(20):
        start = time.process_time()
        run(image)
        times.append(time.process_time() - start)
    return 1000 * float(np.median(times))


def _onnx(path: Path) -> Run:
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: tuple(session.run(list(OUTPUTS), {INPUT: images}))


def _savedmodel(path: Path) -> Run:
    tf = needed("tensorflow")
    model = tf.saved_model.load(str(path))

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = model.signatures["serving_default"](**{INPUT: tf.constant(images)})
        return found[OUTPUTS[0]].numpy(), found[OUTPUTS[1]].numpy()

    return run


def _tflite(path: Path) -> Run:
    interpreter = needed("ai_edge_litert.interpreter").Interpreter(str(path), num_threads=1)
    runner = interpreter.get_signature_runner()

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found: list[dict[str, Any]] = [runner(**{INPUT: image[None]}) for image in images]
        (p, f) = (np.concatenate([one[name] for one in found]) for name in OUTPUTS)
        return p, f

    return run


RUNNERS: dict[str, Callable[[Path], Run]] = {
    "onnx": _onnx,
    "savedmodel": _savedmodel,
    "tflite": _tflite,
}
