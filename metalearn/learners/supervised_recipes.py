"""Settings of classifiers of fixed classes, chosen here: `(dataset, labels) -> settings`."""

from metalearn.learners.recipes import Recipe, unmirrored

# The body that is installed along, on about half as many pixels as its own size has
SIZE = 160
PRETRAINED: Recipe = dict(backbone="efficientnet-lite0", input_size=SIZE, norm="running")
# The bodies that this size was chosen for; others take images of their own size
OF_THAT_SIZE = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def usual_size(backbone: str) -> int:
    """The side of the images that a pre-trained body takes unless the user says (0: its own)."""
    return SIZE if backbone in OF_THAT_SIZE else 0


def probe_recipe(dataset: str, labels: int) -> Recipe:
    """No gradient steps."""
    return PRETRAINED | dict(steps=0)


def recipe(dataset: str, labels: int) -> Recipe:
    """Fine-tuning of a pre-trained body."""
    return PRETRAINED | dict(
        steps=100 if labels else 2000,
        optimizer="adam",
        lr=1e-4,
        schedule="cosine:0.2",
        batch_size=32,
        meta_batch=2,
        augment="none" if unmirrored(dataset) else "flip",
        valid_every=200,
    )


def fine_tune_recipe(dataset: str, labels: int) -> Recipe:
    """As `recipe`; of few labels without augmentation, at lower rates for earlier stages.

    Chosen among rates of 1e-5 to 1e-4, 0.6 of the later stage's and mirrored images, by five labels
    a class of the validation classes of CIFAR-FS and of the validation images of the groceries
    (`experiments.transfer --strategy=fine_tune --learned=valid --labels=5`): at one rate for all
    stages a classifier that begins as a probe loses accuracy on the groceries. Bodies without
    stages, those trained from scratch here, have one rate.
    """
    ours = dict(augment="none", layer_decay=0.6) if labels else {}
    return recipe(dataset, labels) | ours


def partial_recipe(dataset: str, labels: int) -> Recipe:
    """As `recipe`, without augmentation: so what the frozen stages make of an image is kept.

    Of few labels, rate, warm-up and length were chosen on the validation classes of CIFAR-FS and
    the validation images of the grocery photographs: at larger rates, or without warm-up, a
    classifier that begins as a probe may lose accuracy.
    """
    ours = dict(steps=300, lr=1e-4) if labels else dict(steps=1000, lr=3e-4)
    return recipe(dataset, labels) | ours | dict(augment="none")


def adapter_recipe(dataset: str, labels: int) -> Recipe:
    """As `recipe`, with a larger rate: adapters begin at zero."""
    return recipe(dataset, labels) | dict(lr=1e-3, head_lr=1.0)


def scratch_recipe(dataset: str, labels: int) -> Recipe:
    """Supervised training with random weights: SGD with a cosine schedule."""
    return dict(
        norm="running",
        backbone="conv4-64",
        steps=2000 if labels else 20_000,
        optimizer="sgd",
        lr=0.05,
        nesterov=False,
        weight_decay=5e-4,
        decay="all",
        schedule="cosine",
        batch_size=64,
        meta_batch=1,
        augment="none" if unmirrored(dataset) else "flip,crop",
        start="random",
        statistics="batch",
        valid_every=1000,
    )
