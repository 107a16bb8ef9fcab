"""Kernels of a program compiled for a GPU: `python -m benchmarks.lease.kernels FILE...` of HLO.

Every operation that runs by itself is one kernel: a fusion, a product, a convolution, a copy. What
a loop runs counts as often as the loop turns, where XLA knows that; a loop of unknown length counts
once, so that the loop over outer steps leaves the kernels of one step.
"""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
CALLS = {"call", "async-start"}
COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{")
RESULT = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = ")
OPCODE = re.compile(r"\s*([\w\-]+)\(")
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
CALLED = re.compile(r"(?:to_apply|calls)=%?([\w.\-]+)")


class Operation(NamedTuple):
    """A line of a computation."""

    opcode: str
    line: str


class Program(NamedTuple):
    """Computations by name, and the one that the program begins with."""

    computations: dict[str, list[Operation]]
    entry: str


def parse(text: str) -> Program:
    """The program that HLO text is of."""
    computations: dict[str, list[Operation]] = {}
    name = entry = ""
    for line in text.splitlines():
        if head := COMPUTATION.match(line):
            name = head[2]
            computations[name] = []
            entry = name if head[1] else entry
        elif name and (operation := _operation(line)):
            computations[name].append(operation)
    return Program(computations, entry)


def _operation(line: str) -> Operation | None:
    result = RESULT.match(line)
    if not result:
        return None
    rest = line[result.end() :]
    shape = _tuple_length(rest) if rest.startswith("(") else rest.find(" ")
    opcode = OPCODE.match(rest[shape:])
    return Operation(opcode[1], line) if opcode else None


def _tuple_length(text: str) -> int:
    """Characters of the parenthesis that the text begins with."""
    depth = 0
    for i, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return i + 1
    return len(text)


def kernels(program: Program, name: str | None = None) -> Counter[str]:
    """How often each kind of kernel runs in the computation of this name [the whole program]."""
    found: Counter[str] = Counter()
    for opcode, line in program.computations[name or program.entry]:
        if opcode in FREE or opcode.endswith("-done"):  # counted where it was started
            continue
        if opcode == "while":
            found.update(_of_loop(program, line))
        elif opcode in CALLS and (called := CALLED.search(line)):
            found.update(kernels(program, called[1]))
        elif not opcode.startswith("async"):
            found[_kind(opcode, line)] += 1
    return found


def _of_loop(program: Program, line: str) -> Counter[str]:
    known = TRIPS.search(line)
    turns = int(known[1]) if known else 1
    once: Counter[str] = Counter()
    for part in ("body", "condition"):
        called = re.search(rf"{part}=%?([\w.\-]+)", line)
        assert called, line
        once.update(kernels(program, called[1]))
    return Counter({kind: turns * count for kind, count in once.items()})


def _kind(opcode: str, line: str) -> str:
    """An operation in words: of a fusion its kind, of a custom call its target."""
    patterns = {
        "fusion": (r"kind=(k\w+)", r'"kind":"(__\w+)"'),
        "custom-call": (r'custom_call_target="([^"]*)"',),
    }
    matches = (re.search(pattern, line) for pattern in patterns.get(opcode, ()))
    return " ".join([opcode, *(match[1] for match in matches if match)])


def summary(text: str) -> str:
    """The kernels of HLO text, in all and of each kind, most first."""
    found = kernels(parse(text))
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.most_common())
    return f"{found.total()} kernels: {kinds}"


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(f"{path}: {summary(Path(path).read_text())}")
