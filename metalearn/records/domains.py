"""Records of domain adaptation: settings, what each draw reached, origin."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalearn.config import Config
from metalearn.domains.deep.registry import SOURCE_ONLY
from metalearn.domains.deep.settings import LAST
from metalearn.domains.registry import NONE
from metalearn.domains.trial import Outcome
from metalearn.records.labelled_store import OFFICIAL
from metalearn.records.names import PUBLISHED_IMAGES, body_of
from metalearn.records.record import (
    Provenance,
    Stage,
    all_stages,
    lineage_to_json,
    settings,
    short_digest,
)

BASELINES = (NONE, SOURCE_ONLY)  # methods that others are compared with
TRAINED = "trained"  # classifier of a body that is trained, and all of its classifier
# What the source alone is trained with, whatever is asked of other methods: it has no such losses,
# and others begin from its last state
OF_SOURCE: dict[str, Any] = {"penalty": 1.0, "target_weight": 1.0, "keep": LAST}
SHARES = tuple(
    f"{side}_{name}" for side in ("source", "target") for name in ("accuracy", "recall", "f1")
)


@dataclass(frozen=True)
class DomainsTest:
    """What was compared, beyond the settings of the body.

    Attributes:
      method: that adapted.
      source, target: data sets.
      pixels: side of the images whose pixels are the features; 0 for features of the body.
      classifier: that was fitted to the adapted features; `trained` where a body is trained.
      images: drawn of each domain's training images by each draw; 0 for all.
      target_labels: labelled images a class of the target.
      choices: settings of the method that were tried, the defaults first; of a body that is
        trained, the updates after which it was judged, the last first.
      validators: by which one of them may be chosen.
      draws: seeds, from that of the settings on.
      images_hash: of the positions of all images, of both domains.
      source_images, target_images: of the tests.
    """

    method: str
    source: str
    target: str
    pixels: int
    classifier: str
    images: int
    target_labels: int
    choices: list[str]
    validators: list[str]
    draws: int
    images_hash: str
    source_images: int
    target_images: int


@dataclass(frozen=True)
class DomainsMeasured:
    """What was measured: for each draw a list with a number for each choice of settings.

    Attributes:
      source_accuracy, source_recall, source_f1: of the source's test images, by the adapted
        classifier; shares of 1, recall and F1 means over classes.
      target_accuracy, target_recall, target_f1: of the target's.
      distance: proxy A-distance of the domains as they are adapted, 0 to 2; of bodies that are
        trained after the last update, and None of the updates before.
      adapt_s: seconds of adapting.
      fit_s: seconds of fitting and answering.
      validators: for each choice a list with the score of each validator.
      notes: what the method says of itself, such as what it chose; none of bodies that are trained,
        or of records of earlier versions.
    """

    source_accuracy: list[list[float]]
    source_recall: list[list[float]]
    source_f1: list[list[float]]
    target_accuracy: list[list[float]]
    target_recall: list[list[float]]
    target_f1: list[list[float]]
    distance: list[list[float | None]]
    adapt_s: list[list[float]]
    fit_s: list[list[float]]
    validators: list[list[list[float]]]
    notes: list[list[str]] = field(default_factory=list)

    def with_draw(self, outcomes: list[Outcome]) -> "DomainsMeasured":
        """The same with another draw, an outcome for each choice."""
        new: dict[str, list] = {name: [] for name in dataclasses.asdict(self)}
        for each in outcomes:
            for name, value in zip(SHARES, (*each.source, *each.target), strict=True):
                new[name].append(round(value, 6))
            new["distance"].append(None if each.distance is None else round(each.distance, 6))
            new["adapt_s"].append(round(each.adapt_s, 4))
            new["fit_s"].append(round(each.fit_s, 4))
            new["validators"].append([round(value, 6) for value in each.validators])
        notes = [each.adapted.note for each in outcomes if each.adapted is not None]
        same = len(self.notes) == len(self.distance)
        kept = [*self.notes, notes] if same and len(notes) == len(outcomes) else []
        rest = {name: [*getattr(self, name), new[name]] for name in new if name != "notes"}
        return DomainsMeasured(**rest, notes=kept)


NOTHING = DomainsMeasured([], [], [], [], [], [], [], [], [], [])


@dataclass(frozen=True)
class DomainsRecord:
    """One method on a pair of domains.

    Attributes:
      config: settings of the body and of the source's images.
      test: what was compared.
      measured: the results.
      lineage: the trainings of the body, the latest last.
      provenance: where the numbers come from; the digests of both data sets' images, `a+b`.
      path: the file that it was read from; None before it is written.
    """

    config: Config
    test: DomainsTest
    measured: DomainsMeasured
    lineage: tuple[Stage, ...]
    provenance: Provenance
    path: Path | None = None

    @property
    def identity(self) -> str:
        """A digest of all that makes two tests the same."""
        return self._digest(self.test)

    @property
    def without_draws(self) -> str:
        """A digest of all that a comparison must agree in to be continued."""
        return self._digest(dataclasses.replace(self.test, draws=0))

    @property
    def compared(self) -> str:
        """What records agree in that may be compared draw by draw: all but the method.

        Of bodies that are trained, what the training on the source alone has that they begin from,
        or are compared with: its settings.
        """
        test = dataclasses.replace(self.test, method="", choices=[])
        if not self.trained:
            return self._digest(test)
        begun = self.lineage[-1].config if self.lineage else self.config
        plain = dataclasses.replace(begun, method=SOURCE_ONLY, **OF_SOURCE)
        found = [settings(plain), dataclasses.asdict(test), self.provenance.images]
        return short_digest(found)

    @property
    def trained(self) -> bool:
        """Whether the method trains a body."""
        return self.test.classifier == TRAINED

    def _digest(self, test: DomainsTest) -> str:
        # Of a body that is trained, what it begins from follows from its own settings
        stages = [] if self.trained else lineage_to_json(self.lineage, timed=False)
        found = [settings(self.config), dataclasses.asdict(test), self.provenance.images, stages]
        return short_digest(found)

    @property
    def external(self) -> bool:
        """Whether the body saw other data: it was pre-trained elsewhere."""
        stages = [stage.config for stage in all_stages(self.lineage)]
        bodies = () if self.test.pixels else (self.config, *stages)
        return any(config.weights for config in bodies)

    @property
    def domains(self) -> str:
        """`mnist-to-usps`; with the images' digest where that alone identifies a data set."""
        names = (self.test.source, self.test.target)
        digests = self.provenance.images.split("+") + [""] * 2
        found = [
            name if name in (*PUBLISHED_IMAGES, *OFFICIAL) or not images else f"{name}-{images[:8]}"
            for name, images in zip(names, digests, strict=False)
        ]
        return "-to-".join(found)

    @property
    def features(self) -> str:
        """`pixels16`, or the body."""
        found = f"pixels{self.test.pixels}" if self.test.pixels else body_of(self.config)
        return f"{found}-bottleneck" if self.config.bottleneck else found
