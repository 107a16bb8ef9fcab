"""Views of a photograph: their sizes, and where they are."""

import pytest

from metalearn.errors import UserError
from metalearn.personal.views import NAMES, View, list_of, usual_views, views_named, views_of


@pytest.mark.parametrize(
    ("size", "own", "whole"), [(160, 224, 224), (160, 200, 200), (224, 224, 224), (160, 0, 160)]
)
def test_all_of_a_photo_is_shown_larger_up_to_the_size_of_the_bodys_training(
    size: int, own: int, whole: int
) -> None:
    views = usual_views(size, own)
    assert views.shown == (View(whole), View(size, 0.6))
    assert {view.size for view in views.fitted} == {size} and not views.mirror
    assert {view[1:] for view in views.fitted} == {
        (0.6, 0, 0),
        (0.6, 0, 1),
        (0.6, 1, 0),
        (0.6, 1, 1),
    }
    assert views.pixels == max(whole, round(size / 0.6))
    assert views_of(list_of(views)) == views


def test_views_have_names() -> None:
    named = {name: views_named(name, 160, 224) for name in NAMES}
    assert named["usual"] == usual_views(160, 224)
    assert named["plain"].shown == named["usual"].shown and not named["plain"].fitted
    assert named["whole"].shown == named["usual"].shown[:1] and not named["whole"].fitted
    assert {view.size for view in named["one-size"].shown} == {160}
    assert [view.part for view in named["wide"].shown + named["wide"].fitted] == [1, 0.75, 0.8, 0.8]
    with pytest.raises(UserError, match="no views 'none': choose one of usual, plain"):
        views_named("none", 160)
