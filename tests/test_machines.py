"""Flags of runs of several processes, without any of these."""

from types import SimpleNamespace
from typing import Any

import jax
import pytest

from experiments._cli import lab
from experiments._cli.begin import of_several
from metalearn.errors import UserError
from metalearn.parallel import join


class Given(dict):
    """Flags by name, as FLAGS has them."""

    def __getattr__(self, name: str) -> Any:
        return self[name].value


def test_processes_meet_once_however_many_trainings_a_program_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"distributed": True, "coordinator": "host:1", "num_processes": 2, "process_id": 0}
    flags = Given({name: SimpleNamespace(value=value) for name, value in given.items()})
    met: list[tuple] = []
    monkeypatch.setattr(lab, "FLAGS", flags)
    monkeypatch.setattr(lab, "join", lambda *where: met.append(where))
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: bool(met))
    lab.meet()
    lab.meet()
    assert met == [("host:1", 2, 0)]


@pytest.mark.parametrize("coordinator", ["localhost", "localhost:", "localhost:port"])
def test_address_without_a_port_is_one_line(coordinator: str) -> None:
    with pytest.raises(UserError, match=f"--coordinator={coordinator} names no port"):
        join(coordinator, 2, 0)


@pytest.mark.parametrize("word", ["--distributed", "-distributed", "--distributed=true"])
def test_process_of_several_is_watched_however_the_flag_is_written(word: str) -> None:
    assert of_several(["python", "-m", "experiments.maml", word])


@pytest.mark.parametrize("word", ["--nodistributed", "--distributed=false", "distributed"])
def test_process_alone_is_not_watched(word: str) -> None:
    assert not of_several(["python", "-m", "experiments.maml", word])
