"""The state's file, and the lock that keeps two processes apart."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.labelling.folder import find_all, held, state_folder
from metalearn.labelling.state import FILE, Record, Round, State, load_state, save_state
from tests.labelling.made import pile
from tests.programs import ROOT, environment

ROUND = Round("2026-01-01T00:00:00+00:00", "auto")
(A, B, C) = (letter * 64 for letter in "abc")
STATE = State(
    {
        A: Record("a.png", 1, "cup", guess="door"),
        B: Record("café ☕/b.png", 1, skipped=True),
        C: Record("c.png", 1),
    },
    (ROUND,),
)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_state(STATE, tmp_path)
    assert load_state(tmp_path) == STATE
    assert load_state(tmp_path / "elsewhere") == State()


def test_a_state_tells_what_is_open_and_what_is_labelled() -> None:
    assert list(STATE.open) == [C] and STATE.labelled == {A: "cup"}
    assert STATE.counts == {"cup": 1} and STATE.skipped == 1
    more = STATE.asking({"d" * 64: Record("d.png")}, ROUND)
    assert [each.round for each in more.photos.values()] == [1, 1, 1, 2]
    assert len(STATE.photos) == 3, "a step changes no other state"


DAMAGED = [
    (None, "is damaged"),
    ({"version": 99}, "newer than this program"),
    ({"version": "1"}, "is damaged"),
    ({"rounds": []}, "round 1 of 0"),
    ({"photos": []}, "is damaged"),
    ({"photos": {"short": {}}}, "is no SHA-256"),
    ({"photos": {A: {"name": "a"}}}, "is damaged"),
    ({"photos": {A: Record("", 1)._asdict()}}, "name: ''"),
    ({"photos": {A: Record("a", True)._asdict()}}, "round True"),
    ({"photos": {A: Record("a", 1, 7)._asdict()}}, "label: 7"),  # type: ignore[arg-type]
    ({"photos": {A: Record("a", 1, "cup", True)._asdict()}}, "skipped, and labelled cup"),
    ({"photos": {A: Record("a", 1, "cup", None)._asdict()}}, "skipped None"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("change", "message"), DAMAGED)
def test_a_damaged_state_is_said_to_be_so(
    change: dict | None, message: str, tmp_path: Path
) -> None:
    save_state(STATE, tmp_path)
    path = tmp_path / FILE
    whole = path.read_text()
    path.write_text(whole[:-30] if change is None else json.dumps(json.loads(whole) | change))
    with pytest.raises(UserError, match=message) as raised:
        load_state(tmp_path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_two_processes_cannot_hold_one_state(tmp_path: Path) -> None:
    """And it is free again after the first was killed."""
    code = f"""
import sys, time
from pathlib import Path
from metalearn.labelling.folder import held
with held(Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    options = {"cwd": ROOT, "env": environment(), "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process works with"), held(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / f"{FILE}.{os.getpid()}.part").write_text("half of a st")
    with held(tmp_path):
        assert not list(tmp_path.glob("*.part")), "what was cut off is removed"


def test_photos_are_found_by_name_without_those_of_the_state(tmp_path: Path) -> None:
    place = pile(tmp_path / "photos", 1, 2)
    pile(tmp_path / "photos" / "below", 1, 1)
    inside = tmp_path / "photos" / "kept"
    pile(inside, 2, 1)  # as contact sheets are
    assert list(find_all(place.photos, inside)) == ["apple0.png", "apple1.png", "below/apple0.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no photo"):
        find_all(tmp_path / "empty", inside)


def test_where_a_state_is_kept_is_checked(tmp_path: Path) -> None:
    assert state_folder(tmp_path, None) == tmp_path / ".labelling"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="there is no folder"):
        state_folder(tmp_path / "absent", None)
    with pytest.raises(UserError, match="is a file"):
        state_folder(tmp_path, str(tmp_path / "file"))
    with pytest.raises(UserError, match="is the folder of the photos"):
        state_folder(tmp_path, str(tmp_path))
