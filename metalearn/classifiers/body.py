"""The body that settings name: published weights, those of an earlier run, or random ones."""

from pathlib import Path

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.method import layers_of, precision_of
from metalearn.learners.registry import CLASSIFYING
from metalearn.models import is_pretrained, make_network
from metalearn.models.zoo import make_body
from metalearn.records.workdir import read_workdir
from metalearn.retest import read_trained
from metalearn.training.backbone import lacks_statistics
from metalearn.training.state import check_whole_body
from metalearn.types import Body, InputSpec


def body_without_weights(config: Config, inputs: InputSpec) -> Body:
    """The network of the config's backbone.

    Args:
      config: the settings.
      inputs: the images that it takes.

    Raises:
      UserError: no such backbone, or not with this normalisation.
    """
    kind = layers_of(config.norm)
    network = make_network(
        config.backbone, kind, precision_of(config), shared=True, initial=config.initial
    )
    if is_pretrained(config.backbone):
        return make_body(config.backbone)._replace(network=network, inputs=inputs)
    return Body(network, None, None, inputs)


def body_of_run(config: Config) -> Body:
    """The body of the finished run that `--init_from` names, with its running statistics.

    Raises:
      UserError: there is none, it is not finished, its body is another one or has no statistics.
    """
    workdir = Path(config.init_from)
    there = read_workdir(workdir).config
    if there.bottleneck:
        raise UserError(
            f"--init_from={workdir}: a dense layer on the features of {there.backbone} was trained "
            "there, and no body; name a run that trained one"
        )
    if (there.backbone, layers_of(there.norm)) != (config.backbone, layers_of(config.norm)):
        raise UserError(
            f"--init_from={workdir}: its body is {there.backbone} ({there.norm}), not "
            f"{config.backbone} ({config.norm}): leave out --backbone and --norm"
        )
    check_whole_body(workdir, there, config)
    trained = read_trained(workdir)
    if trained.inputs is None:
        raise UserError(f"{workdir} is of an older version: train it again in another --workdir")
    body = body_without_weights(config, trained.inputs)
    moments = trained.meta.get("moments", {}).get("body") or None
    body = body._replace(params=trained.meta["body"], moments=moments)
    if lacks_statistics(body) and not _adapts_statistics(config):
        raise UserError(
            f"{workdir} has no running statistics, as {there.method} ({there.norm}) is tested "
            "without: add --statistics=batch, or begin with another run"
        )
    return body


def _adapts_statistics(config: Config) -> bool:
    """Whether training takes the statistics of its own batches."""
    reads = CLASSIFYING[config.method].settings.__dataclass_fields__
    return "statistics" in reads and config.statistics == "batch"
