"""Strategies by name."""

from metalearn.active.auto import by_labels
from metalearn.active.badge import badge
from metalearn.active.core_set import k_centre
from metalearn.active.cover import prob_cover
from metalearn.active.facility import facility_location
from metalearn.active.pool import Strategy, random
from metalearn.active.typical import diverse, typiclust
from metalearn.active.uncertainty import (
    SURVEY,
    bald,
    by_score,
    entropy,
    least_confidence,
    margin,
)

AUTO = "auto"
STRATEGIES = {
    "random": Strategy(random, ""),
    "least_confidence": Strategy(by_score(least_confidence), SURVEY),
    "margin": Strategy(by_score(margin), "Scheffer et al. 2001"),
    "entropy": Strategy(by_score(entropy), SURVEY),
    "bald": Strategy(bald, "Houlsby et al. 2011", committee=True),
    "k_centre": Strategy(k_centre, "Sener & Savarese 2018"),
    "badge": Strategy(badge, "Ash et al. 2020"),
    "typiclust": Strategy(typiclust, "Hacohen et al. 2022"),
    "prob_cover": Strategy(prob_cover, "Yehuda et al. 2022"),
    "facility_location": Strategy(facility_location, "Wei et al. 2015"),
    "k_means": Strategy(diverse, "Zhdanov 2019"),
    AUTO: Strategy(by_labels, ""),
}
