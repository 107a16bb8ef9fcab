"""The training of a classifier of fixed classes, assembled of its material."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.models.lora import init_adapters
from metalearn.ops.classifier import init_classifier
from metalearn.parallel import replicate
from metalearn.runtime import quick_jit
from metalearn.training.assemble import Training, assembled
from metalearn.training.backbone import fixed_part, head_of, of_stages, stages_before
from metalearn.training.gradient import Sample
from metalearn.training.optimizer import classifier_optimizer
from metalearn.training.plan import Plan, Validate, by_accuracy
from metalearn.training.progress import headline, place_of
from metalearn.training.state import Run
from metalearn.training.step import TrainState
from metalearn.training.subject import Subject, exporter, sampler_of, validator
from metalearn.types import Array, Batch, Key, PyTree, random_key


def supervised_plan(subject: Subject) -> Plan:
    """The plan of the subject's training.

    Args:
      subject: to be trained.
    """
    (config, material, lab) = subject[:3]
    key = random_key(config.seed)
    optimizer = classifier_optimizer(config, _trained_stages(subject))

    def begin(run: Run, fresh: TrainState) -> TrainState:
        return fresh

    def fresh(run: Run) -> TrainState:
        # Copied: the state is donated to every chunk, the body's own arrays are to stay
        meta = jax.tree.map(jnp.array, initial(subject, key))
        state = TrainState(jnp.zeros((), jnp.int32), meta, quick_jit(optimizer.init)(meta))
        return replicate(state, lab.mesh)

    def training(run: Run) -> Training:
        sampler = sampler_of(subject)
        loss = subject.learner.loss
        drawn = _with_first_stages(subject, sampler)
        init: Callable[..., PyTree] = partial(initial, subject)
        return assembled(config, lab, init, loss, optimizer, sampler, True, drawn)

    def line(run: Run, step: int, over: bool) -> str:
        labels = f"{config.labels} labels a class" if config.labels else "all labels"
        what = f"{config.method} on {config.dataset}, {config.backbone}, {labels}"
        return headline(config, what, place_of(lab, run.workdir), step, over)

    def validate(run: Run) -> Validate:
        return by_accuracy(validator(subject))

    return Plan(
        lab=lab,
        fresh=fresh,
        begin=begin,
        training=training,
        ready=lambda run: exporter(subject),
        validate=None if material.labelled.valid is None else validate,
        headline=line,
    )


def initial(subject: Subject, key: Key, x: Array | None = None) -> PyTree:
    """The parameters before the first step: {body, classifier}, and {fixed} where some are."""
    (config, material, lab) = subject[:3]
    (body_key, head_key, adapter_key) = jax.random.split(key, 3)
    body = material.body
    if body.params is None:
        image = jnp.zeros((1, *material.inputs.shape))
        body = body._replace(params=jax.jit(body.network.init)(body_key, image))
    fixed = fixed_part(body, subject.stages or None)
    params = fixed.pop("body")
    if config.statistics == "batch":
        fixed = {}
    if config.method == "lora":
        fixed |= {"body": params}
        trained = init_adapters(adapter_key, params, config.rank)
    else:
        frozen = material.division.frozen
        trained = {name: part for name, part in params.items() if name not in frozen}
        if kept := of_stages(params, frozen):
            fixed |= {"body": kept}
    meta = {"body": trained} | ({"fixed": fixed} if fixed else {})
    if subject.begun is not None:
        return meta | {"classifier": subject.begun}
    whole = fixed_part(body)
    z = jax.eval_shape(head_of(body, None), whole, jnp.zeros((1, *material.inputs.shape)))
    classes = len(material.labelled.names)
    layer = init_classifier(head_key, "linear", z.shape[-1], classes, config.initial)
    return meta | {"classifier": layer}


def _trained_stages(subject: Subject) -> tuple[str, ...]:
    frozen = subject.material.division.frozen
    return tuple(stage for stage in subject.stages if stage not in frozen)


def _with_first_stages(subject: Subject, sample: Sample) -> tuple[Sample, PyTree] | None:
    """Batches of what the frozen first stages make of images; None where there are none to do."""
    (_, material, lab) = subject[:3]
    first = material.division.first
    if first is None or subject.cached:
        return None
    if lab.streamed:
        raise UserError(
            "--stream: frozen stages take their images from the device: leave it out, or add "
            "--augment=none"
        )
    before = head_of(material.body, first, material.dtype)
    fixed = replicate(fixed_part(material.body, stages_before(material.body, first)), lab.mesh)

    # Arguments of the step, and not constants of the program, which would be compiled in
    def drawn(key: Key, source: PyTree) -> Batch:
        (images, params) = source
        batch: Batch = sample(key, images)
        return batch._replace(x=before(params, batch.x))

    return drawn, (lab.train, fixed)
