"""`Recogniser`, as a program calls it: what it takes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.recogniser import Recogniser
from tests.personal.made import picture, tiny


@pytest.fixture
def mine() -> Recogniser:
    return Recogniser(tiny(2, 2))


def test_photos_may_come_one_by_one(mine: Recogniser) -> None:
    """From a generator, which can be gone through once."""
    more = mine.add("cup", (picture(2, i) for i in range(3)))
    assert more.fitted.counts.tolist() == [2, 2, 3]
    assert len(mine.predict(picture(0, i) for i in range(2))) == 2


@pytest.mark.parametrize("wrong", [None, 3])
def test_what_is_no_photo_is_refused(mine: Recogniser, wrong: object) -> None:
    """As `cv2.imread` gives it for a file that is not there."""
    with pytest.raises(UserError, match="is no photo: give a file"):
        mine.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="photo 2 is"):
        mine.add("cup", [picture(0, 0), wrong])  # type: ignore[list-item]


@pytest.mark.parametrize("name", [0, np.int64(1), "", Path("cup")])
def test_classes_are_named_by_text(mine: Recogniser, name: object) -> None:
    with pytest.raises(UserError, match="a class is named"):
        mine.add(name, [picture(0, 0)])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="a class is named"):
        Recogniser.fit({name: [picture(0, 0)], "cup": [picture(1, 0)]})  # type: ignore[dict-item]


def test_views_that_are_not_there_are_refused() -> None:
    photos = {name: [picture(number, 0)] for number, name in enumerate(("cup", "key"))}
    with pytest.raises(UserError, match="no views 'none': choose one of usual"):
        Recogniser.fit(photos, views="none")
