"""Where records go: runs side by side may share a folder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.files import check_writable


def test_many_check_a_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_writable, [tmp_path / "results"] * 400))
    assert list((tmp_path / "results").iterdir()) == []


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match="cannot write .*results: .*; make room or choose another folder"):
        check_writable(tmp_path / "results")
