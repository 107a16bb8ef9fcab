"""Views of a photograph: their sizes, and where they are."""

import pytest

from metalearn.personal.views import View, list_of, usual_views, views_of


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
