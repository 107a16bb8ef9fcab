"""Methods that train a body, by name."""

from collections.abc import Sequence
from functools import partial

from metalearn.domains.deep.adversarial import cdan, dann
from metalearn.domains.deep.begun import ada_bn, adda, fine_tune_target
from metalearn.domains.deep.confusion import mcc
from metalearn.domains.deep.disparity import mdd
from metalearn.domains.deep.matching import dan, deep_coral
from metalearn.domains.deep.penalised import joint, source_only, with_penalty
from metalearn.domains.deep.shot import shot
from metalearn.domains.deep.types import DeepMethod

ALL = "trained"  # stands for all of them
SOURCE_ONLY = "source_only"  # what others are compared with
DEEP: dict[str, DeepMethod] = {
    SOURCE_ONLY: DeepMethod(source_only, ""),
    "dann": DeepMethod(with_penalty(dann), "Ganin et al. 2016"),
    "cdan": DeepMethod(with_penalty(partial(cdan, by_entropy=False)), "Long et al. 2018"),
    "cdan_e": DeepMethod(with_penalty(partial(cdan, by_entropy=True)), "Long et al. 2018"),
    "dan": DeepMethod(with_penalty(dan), "Long et al. 2015"),
    "deep_coral": DeepMethod(with_penalty(deep_coral), "Sun & Saenko 2016"),
    "mcc": DeepMethod(with_penalty(mcc), "Jin et al. 2020"),
    "mdd": DeepMethod(with_penalty(mdd), "Zhang et al. 2019"),
    "adda": DeepMethod(adda, "Tzeng et al. 2017", begins=True),
    "ada_bn": DeepMethod(ada_bn, "Li et al. 2016", begins=True, trains=False),
    "shot": DeepMethod(shot, "Liang et al. 2020", begins=True),
    "joint": DeepMethod(joint, "", needs_labels=True),
    "fine_tune_target": DeepMethod(fine_tune_target, "", begins=True, needs_labels=True),
}


def methods_of(given: Sequence[str], few: bool) -> list[str]:
    """The methods of a comparison, the source alone first.

    Args:
      given: their names; `trained`, alone, is for all.
      few: whether labelled images of the target are there, which some need.
    """
    if list(given) == [ALL]:
        return [name for name, method in DEEP.items() if few or not method.needs_labels]
    return list(dict.fromkeys([SOURCE_ONLY, *given]))
