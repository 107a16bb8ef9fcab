"""Files of the records of domain adaptation: names, reading, writing."""

import dataclasses
import math
from pathlib import Path

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.domains import (
    SHARES,
    TRAINED,
    DomainsRecord,
)
from metalearn.records.kinds import Kind
from metalearn.records.names import body_of, file_name

MOST = {"distance": 2.0} | dict.fromkeys(SHARES, 1.0)


def comparison_workdir(source: str, target: str, features: str) -> Path:
    """`runs/adapt-mnist-to-usps-pixels16`, the folder of a comparison without --workdir."""
    return Path("runs") / f"adapt-{file_name(f'{source}-to-{target}')}-{features}"


def trained_workdir(config: Config) -> Path:
    """That of a comparison of bodies that are trained."""
    parts = ["trained", body_of(config)]
    parts += ["bottleneck"] if config.bottleneck else []
    parts += [f"{config.target_labels}labels"] if config.target_labels else []
    return comparison_workdir(config.dataset, config.target, "-".join(parts))


def adaptation_run(config: Config) -> str:
    """The folder of one of them, in that of the comparison."""
    return f"{config.method}-seed{config.seed}"


def _place(record: DomainsRecord) -> tuple[str, str]:
    (config, test) = (record.config, record.test)
    parts = [test.method]
    parts += ["grid"] if len(test.choices) > 1 and not record.trained else []
    begun = config.init_from or record.lineage
    parts += ["init"] if begun and not record.trained else []
    parts += [record.features, test.classifier]
    parts += [f"{test.images}images"] if test.images else []
    parts += [f"{test.target_labels}labels"] if test.target_labels else []
    return record.domains, "-".join([*parts, f"seed{config.seed}"])


def _check(record: DomainsRecord) -> None:
    """See that every draw has a number in range for every choice.

    Raises:
      UserError: it has not.
    """
    (test, measured) = (record.test, record.measured)
    if not test.choices:
        raise UserError("wrong or missing choices")
    for name, draws in dataclasses.asdict(measured).items():
        wrong = len(draws) != test.draws or any(len(draw) != len(test.choices) for draw in draws)
        most = MOST.get(name, math.inf)
        if name == "notes":  # words; not every record has them
            wrong &= bool(draws)
        elif name == "validators":
            wrong |= any(len(some) != len(test.validators) for draw in draws for some in draw)
        else:
            # Distances of bodies that are trained are of the last update, which is the first choice
            other = name == "distance" and test.classifier == TRAINED
            found = [value for draw in draws for value in (draw[:1] if other else draw)]
            wrong |= not all(value is not None and 0 <= value <= most for value in found)
        if wrong:
            raise UserError(f"wrong or missing {name}")


DOMAINS = Kind("domains", DomainsRecord, _place, _check)
