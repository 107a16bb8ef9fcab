"""What datasets, methods, bodies, tests and runs are called, in tables and in file names."""

from metalearn.config import Config
from metalearn.learners.recipes import unmirrored
from metalearn.records.record import Record

# Datasets whose images are published: their names identify the images. Others need the digest.
PUBLISHED_IMAGES = ("omniglot", "cifar_fs", "fc100")
# Copies of each support image in a method's recipe for photographs; 1 in all others
COPIES = {"rfs": 5}


def body_of(config: Config) -> str:
    """`conv4-64`, or `efficientnet-lite0-160px` of a pre-trained body that takes another size."""
    size = f"-{config.input_size}px" if config.input_size else ""
    return f"{config.backbone}{size}"


def variants(config: Config) -> list[str]:
    """How a method's head differs from its recipe: `l2` of simpleshot, `1 copy` of rfs."""
    notes = []
    if config.method == "simpleshot" and config.transform != Config.transform:
        notes.append(config.transform)
    usual = 1 if unmirrored(config.dataset) else COPIES.get(config.method, 1)
    if config.support_copies != usual:
        notes.append("1 copy" if config.support_copies == 1 else f"{config.support_copies} copies")
    if config.mirror:
        notes.append("mirror")
    return notes


def method_of(config: Config) -> str:
    """`simpleshot`, or `simpleshot (l2)` where its head is a variant."""
    notes = variants(config)
    return f"{config.method} ({', '.join(notes)})" if notes else config.method


def tested_on(config: Config) -> str:
    """`cifar_fs`, or `cifar_fs-to-omniglot` where it was trained on one and tested on another."""
    return f"{config.dataset}-to-{config.test_dataset}" if config.test_dataset else config.dataset


def dataset_of(record: Record) -> str:
    """`cifar_fs`, or `folder-1a2b3c4d` where only the images' digest identifies the dataset."""
    names = [record.config.dataset, *filter(None, [record.config.test_dataset])]
    digests = record.provenance.images.split("+") + [""] * len(names)
    found = [
        name if name in PUBLISHED_IMAGES or not images else f"{name}-{images[:8]}"
        for name, images in zip(names, digests, strict=False)
    ]
    return "-to-".join(found)


def table_of(record: Record) -> str:
    """The table that a record belongs to: that of its dataset, or of its dataset with other data.

    Bodies that were pre-trained on other data never share a table with those trained on the base
    classes alone.
    """
    return dataset_of(record) + (", external data" if record.external else "")


def file_name(dataset: str) -> str:
    """The name of a dataset or table without characters that a file's name should not have."""
    return dataset.replace(":", "_").replace("/", "_").replace(", ", "-").replace(" ", "-")


def test_slug(config: Config) -> str:
    """`5w1s`, or `5w1s1q-l2`: ways, shots, unusual numbers of queries a class, variants."""
    queries = "" if config.queries == Config.queries else f"{config.queries}q"
    head = [note.replace(" ", "") for note in variants(config)]
    return "-".join([f"{config.ways}w{config.shots}s{queries}", *head])


def run_slug(config: Config, norm: str, roles: set[str] | None = None) -> str:
    """The name of a test of a run, such as `protonet-init-conv4-64-5w1s-running-seed0`.

    It is `<method>-[<training>-…]<backbone>-<test_slug>-<norm>-seed<k>`.

    Args:
      config: settings of training and test.
      norm: of the test.
      roles: what the training took from earlier stages, where the config does not hold it.
    """
    taken = {name for name in ("teacher", "init_from") if getattr(config, name)} | (roles or set())
    training = {
        "svm": config.method == "metaoptnet" and config.head == "svm",
        "contextual": config.contextual,
        "cosine": config.distance == "cosine",
        "pulled": config.proximal_every_step,
        "rotation": config.rotation,
        "distilled": "teacher" in taken,
        "init": "init_from" in taken,
    }
    how = "".join(f"{name}-" for name, given in training.items() if given)
    return f"{config.method}-{how}{body_of(config)}-{test_slug(config)}-{norm}-seed{config.seed}"
