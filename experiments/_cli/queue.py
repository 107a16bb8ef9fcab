"""A queue of runs, read from a file: trainings, and further tests of what each trained."""

import shlex
from pathlib import Path
from typing import NamedTuple

from metalearn.domains.deep.registry import DEEP, methods_of
from metalearn.errors import UserError

QUEUE = Path(__file__).parent.parent / "queue.txt"
# Programs that train classifiers of fixed classes, and their strategies where a line gives none
CLASSIFIERS = {"transfer": "probe", "pretrain": "scratch"}
ADAPTING = "adapt"  # the program that trains bodies for another domain
DRAWS = 3  # seeds of a comparison of these, where nothing is said


class Run(NamedTuple):
    """A training, and further tests of what it trained.

    Of a classifier, and of a comparison of domain adaptation, there are none: they test themselves.

    Attributes:
      train: `<module> <flags>`.
      tests: for each test the flags of `experiments.evaluate`.
    """

    train: str
    tests: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """`maml` of `experiments.maml …`."""
        return self.train.split()[0].removeprefix("experiments.")

    @property
    def flags(self) -> dict[str, str]:
        """Flags of the training by name."""
        return {name: value for name, _, value in map(_flag, shlex.split(self.train)[1:])}

    @property
    def classifies(self) -> bool:
        """Whether it trains a classifier of fixed classes, which is recorded apart."""
        return self.module in CLASSIFIERS

    @property
    def adapts(self) -> bool:
        """Whether it trains bodies for another domain: several methods, each by several seeds."""
        return self.module == ADAPTING

    @property
    def tests_itself(self) -> bool:
        """Whether nothing else tests what it trains, and its records are of a kind of their own."""
        return self.classifies or self.adapts

    @property
    def table(self) -> str:
        """The data set of its table, or `usps-to-mnist`."""
        if self.adapts:
            return f"{self.flags['source']}-to-{self.flags['target']}"
        return self.flags["dataset"]

    @property
    def adapting(self) -> list[str]:
        """The methods of a comparison of domain adaptation."""
        few = self.flags.get("target_labels", "0") != "0"
        return methods_of(self.flags["methods"].split(","), few)

    @property
    def method(self) -> str:
        """The method that it trains, or the strategy of a classifier."""
        if self.classifies:
            return self.flags.get("strategy", CLASSIFIERS[self.module])
        return self.flags.get("method", self.module)

    @property
    def name(self) -> str:
        """The module and the values of its flags, as the name of a folder."""
        return "-".join([self.module, *self.flags.values()]).replace(":", "_").replace("/", "_")

    @property
    def methods(self) -> set[str]:
        """Methods that it gives a row to."""
        if self.adapts:
            return set(self.adapting)
        tested = (_flag(word) for test in self.tests for word in shlex.split(test))
        return {
            self.method,
            *(value for name, _, value in tested if name == "method"),
        }

    def about(self, methods: set[str]) -> "Run":
        """The same training with those of its tests that are of these methods.

        Of a comparison of domain adaptation: that of those methods.
        """
        if self.adapts:
            return self.with_flags(
                [f"--methods={','.join(m for m in self.adapting if m in methods)}"]
            )

        def method(test: str) -> str:
            return {name: value for name, _, value in map(_flag, shlex.split(test))}.get(
                "method", self.method
            )

        return self._replace(tests=tuple(test for test in self.tests if method(test) in methods))

    def with_flags(self, flags: list[str]) -> "Run":
        """The same training with more flags; one that it has already is replaced."""
        return self._replace(train=" ".join([self.train, *flags]))

    def with_others(self, flags: list[str]) -> "Run":
        """The same training with those of more flags that it does not have yet."""
        return self.with_flags([word for word in flags if _flag(word)[0] not in self.flags])

    @property
    def seeds(self) -> list[int]:
        """The seeds that it is trained by: --seeds of them at once, or --draws, from --seed on.

        Raises:
          UserError: one of the flags is no number.
        """
        try:
            first = int(self.flags.get("seed", 0))
            count = int(self.flags.get(*(("draws", DRAWS) if self.adapts else ("seeds", 1))))
        except ValueError as error:
            raise UserError(f"{self.train}: --seed, --seeds and --draws are numbers") from error
        return list(range(first, first + count))

    @property
    def streamed(self) -> bool:
        """Whether its line says that images come from the host."""
        return self.flags.get("stream", "false") != "false"

    def by_seed(self) -> list["Run"]:
        """The same as a run for each of its seeds."""
        return [self.with_flags(["--seeds=1", f"--seed={seed}"]) for seed in self.seeds]


def _flag(word: str) -> tuple[str, str, str]:
    return word.lstrip("-").partition("=")


def flag_words(flag: str, words: str) -> list[str]:
    """The flags in the value of a flag.

    Raises:
      UserError: a quotation does not end.
    """
    try:
        return shlex.split(words)
    except ValueError as error:
        raise UserError(f"--{flag}={words}: {error}") from error


def read_queue(path: Path) -> list[Run]:
    """The runs in a file, one a line: `<module> <flags> | <flags of a test> | …`.

    A # begins a comment. Programs that train classifiers of fixed classes, or bodies for another
    domain, test them too: behind their flags there is nothing.

    Raises:
      UserError: the file cannot be read, or a line is no run.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the queue {path}: {error}") from error
    runs = []
    for number, line in enumerate(lines, 1):
        train, *tests = (part.strip() for part in line.partition("#")[0].split("|"))
        if not train and not tests:
            continue
        run = Run(train, tuple(tests))
        try:
            for part in (train, *tests):
                shlex.split(part)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        needed = {"source", "target", "methods"} if run.adapts else {"dataset"}
        if not train.startswith("experiments.") or needed - run.flags.keys():
            raise UserError(
                f"{path}, line {number}: not of the form experiments.NAME --dataset=… [| FLAGS] or "
                "experiments.adapt --source=… --target=… --methods=…"
            )
        if unknown := [name for name in run.adapting if name not in DEEP] if run.adapts else []:
            raise UserError(f"{path}, line {number}: {unknown[0]} trains no body")
        if run.tests_itself and tests:
            raise UserError(
                f"{path}, line {number}: {train.split()[0]} tests what it trains itself: leave out "
                "what is behind |"
            )
        runs.append(run)
    return runs
