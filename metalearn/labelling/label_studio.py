"""Label Studio's JSON: tasks with choices, read and written.

A task has `data` with the photograph's address, `annotations` (a person's results) and
`predictions` (a model's, with a score), as its documentation has them (Label Studio Task Format;
Import pre-annotated data). A result of the type `choices` names the labels. The parts of a project
that `config_of` sets up are called `image` and `choice`; those of other projects are read too.
Tried with Label Studio 1.23.2.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

from metalearn.data.tree import printable
from metalearn.errors import UserError
from metalearn.files import write_text
from metalearn.labelling.given import SKIP, Given, label_name, read_text
from metalearn.labelling.state import SHA256, Record

IMAGE, CHOICE, DIGEST = "image", "choice", "sha256"
LOCAL = "/data/local-files/?d="  # address of a file below its local files' document root
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # it puts this before the names of files uploaded
MODEL = "metalearn"


class Predicted(NamedTuple):
    """What a head takes a photograph for, and the probability."""

    label: str
    score: float


class Task(NamedTuple):
    """A photograph to be written.

    Attributes:
      digest: SHA-256 of its file.
      record: its name and answer.
      predicted: None where there is no head, or an answer.
    """

    digest: str
    record: Record
    predicted: Predicted | None


def local_address(folder: Path) -> str:
    """What stands before the names of photographs of a folder, below the root that it lies in.

    Label Studio refuses the document root itself as a storage: the folder has to be one in it.
    """
    return f"{LOCAL}{quote(folder.resolve().name)}/"


def write_tasks(tasks: Sequence[Task], path: Path, address: str) -> None:
    """Write tasks for import into Label Studio.

    Args:
      tasks: photographs.
      path: of the file.
      address: that is put before each photograph's name.

    Raises:
      UserError: it cannot be written.
    """
    found = [_task(task, address) for task in tasks]
    write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")


def _task(task: Task, address: str) -> dict[str, Any]:
    record = task.record
    data = {IMAGE: address + quote(record.name), DIGEST: task.digest}
    found: dict[str, Any] = {"data": data}
    if record.label is not None:
        found["annotations"] = [{"result": [_result(record.label)]}]
    elif record.skipped:
        found["annotations"] = [{"result": [], "was_cancelled": True}]
    elif task.predicted is not None:
        predicted = task.predicted
        found["predictions"] = [
            {
                "model_version": MODEL,
                "score": round(predicted.score, 4),
                "result": [_result(predicted.label)],
            }
        ]
    return found


def _result(label: str) -> dict[str, Any]:
    return {
        "from_name": CHOICE,
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [label]},
    }


def config_of(classes: Sequence[str]) -> str:
    """The labelling configuration of a project with these classes, XML."""
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in classes)
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <Choices name="{CHOICE}" toName="{IMAGE}" choice="single" showInLine="true">\n'
        f"{choices}  </Choices>\n</View>\n"
    )


def is_config(path: Path) -> bool:
    """Whether a file is such a configuration, of whatever classes."""
    (start, _, _) = config_of(()).partition("  </Choices>")
    try:
        return path.is_file() and path.read_text("utf-8").startswith(start)
    except (OSError, ValueError):
        return False


def is_tasks(path: Path) -> bool:
    """Whether a file has tasks that `write_tasks` wrote, and not what Label Studio exported."""
    try:
        found = json.loads(path.read_text("utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    if not (isinstance(found, list) and all(isinstance(task, dict) for task in found)):
        return False
    return all("id" not in task and DIGEST in (task.get("data") or ()) for task in found)


def read_tasks(path: Path) -> list[Given]:
    """The answers of tasks that Label Studio exported as JSON; a task without one is left out.

    A task that a person skipped there (`was_cancelled`) is skipped here.

    Raises:
      UserError: it cannot be read, is no such file, or a task has several choices.
    """
    name = printable(path.name)
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON ({error}): export the project as JSON") from error
    tasks = found if isinstance(found, list) else [found]
    given = []
    for number, task in enumerate(tasks, 1):
        where = f"task {number} of {name}"
        try:
            given += _given(task, where)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{where} is none of Label Studio's with an image and choices: export the project "
                "as JSON (not JSON-MIN)"
            ) from error
    return given


def _given(task: Any, where: str) -> list[Given]:
    """The answer of a task; none where there is none.

    Raises:
      UserError: several choices.
      KeyError, TypeError, AttributeError, ValueError: it is no task.
    """
    data = task["data"]
    annotations = task.get("annotations", ())
    labels = {
        label: None
        for annotation in annotations
        if not annotation.get("was_cancelled")
        for label in _choices(annotation["result"])
    }
    if len(labels) > 1:
        raise UserError(f"{where} has several choices ({', '.join(labels)}): leave one of them")
    if not labels and not any(annotation.get("was_cancelled") for annotation in annotations):
        return []
    label = label_name(next(iter(labels), SKIP))
    if not label:
        raise UserError(f"{where} has a choice without a name")
    digest = data.get(DIGEST)
    known = isinstance(digest, str) and len(digest) == SHA256
    return [Given(where, _photo(data), label, digest if known else None)]


def _choices(results: Any) -> list[str]:
    found = []
    for result in results:
        if result.get("type") == "choices":
            found += [str(label) for label in result["value"]["choices"]]
    return found


def _photo(data: Mapping[str, Any]) -> str:
    """The name of a task's photograph, as far as its address tells.

    Raises:
      ValueError: it has no address.
    """
    addresses = [data[IMAGE]] if IMAGE in data else [one for one in data.values() if _is_path(one)]
    if len(addresses) != 1 or not isinstance(addresses[0], str):
        raise ValueError("no address, or several")
    parts = urlsplit(addresses[0])
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    if "/upload/" in path:
        path = UPLOADED.sub("", path.rpartition("/")[2], count=1)
    return printable(path)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and ("/" in value or "." in value)
