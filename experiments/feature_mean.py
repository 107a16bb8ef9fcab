"""Write the mean features of many photographs, by which recognisers centre their own.

`python -m experiments.feature_mean --dataset=cifar100 --data_dir=DIR [--backbone=BODY]` writes the
files for EfficientNet-Lite0, Lite1 and Lite2 that come along, metalearn/personal/means/BODY.json:
the mean over 50 training images a class, in the views of every photograph.
"""

import json

import numpy as np

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.flags import define_dataset, define_inputs
from experiments._cli.program import command_line
from experiments._cli.start import start
from metalearn.data import load
from metalearn.files import write_text
from metalearn.personal.embedding import BODY, Embedder, load_embedding
from metalearn.personal.known_mean import MEANS
from metalearn.runtime import commit, configure

DIGITS = 6


def main() -> None:
    """Compute the mean and write it.

    Raises:
      UserError: no such dataset or body, or a file that cannot be written.
    """
    configure(1, "float32")
    embedding = load_embedding(FLAGS.backbone, FLAGS.weights)
    shown = embedding.shown
    plain = embedding._replace(shown=shown._replace(mean=np.zeros_like(shown.mean)))
    train = load(FLAGS.dataset, FLAGS.data_dir, FLAGS.cache_dir).train
    starts = np.cumsum(train.counts) - train.counts
    pairs = zip(starts, train.counts, strict=True)
    rows = np.concatenate([start + np.arange(min(count, FLAGS.images)) for start, count in pairs])
    z = Embedder(lambda: plain)(train.images[rows])
    made = {
        "body": shown.body,
        "weights": shown.weights,
        "images": len(rows),
        "command": command_line("experiments.feature_mean"),
        "commit": commit(),
        "mean": [round(float(each), DIGITS) for each in z.mean(0)],
    }
    path = MEANS / f"{shown.body}.json"
    write_text(path, json.dumps(made, indent=1) + "\n")
    print(f"wrote {path}: the mean over {len(rows)} images")


if __name__ == "__main__":
    define_dataset()
    define_inputs()
    define_flag("images", 50, "of each training class", lower_bound=1)
    define_flag("backbone", BODY, "the pre-trained body")
    define_flag("weights", None, "file of its weights [those installed]")
    start(main)
