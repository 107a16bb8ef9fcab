"""The layers of the package, by its imports; and the sizes of its functions and files."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def module_of(path: Path) -> str:
    """The name that a file is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = sorted((ROOT / "metalearn").rglob("*.py"))
MODULES = [module_of(path) for path in FILES]
# Imported inside functions only
HEAVY = (
    "tensorflow_datasets",
    "tensorflow",
    "tensorboardX",
    "matplotlib",
    "torch",
    "keras",
    "transformers",
    "h5py",
    "huggingface_hub",
    "sklearn",
    "onnx",
    "onnxruntime",
    "ai_edge_litert",
    "gradio",
)
# Themselves imported only when asked for
LAZY = (
    "metalearn.data.glyphs",
    "metalearn.data.glyph_classes",
    "metalearn.data.tfds_builders",
)
# Run in an environment that holds nothing of ours,
PEERS = sorted((ROOT / "benchmarks" / "peers").glob("*.py"))
# With these
PEERS += [
    ROOT / "benchmarks" / name
    for name in (
        "__init__.py",
        "first_step.py",
        "_lib/__init__.py",
        "_lib/lite0.py",
        "_lib/photos.py",
        "_lib/pool.py",
        "_lib/work.py",
        "_lib/worker.py",
    )
]
MOST_STATEMENTS = 35  # of a function, those of functions inside it too
MOST_LINES = 250  # of a file

# Every module belongs to a part: a folder of the package, or a file at its top. A part may import
# itself and the parts in the lines below its own.
LAYERS = (
    ("page",),
    ("recogniser", "labelling"),
    ("personal",),
    ("classifiers",),
    ("run", "retest"),
    ("testing",),
    ("records",),
    ("training",),
    ("config",),
    ("active", "learners"),
    ("domains",),
    ("evaluation", "transfer"),
    ("ops", "data", "models"),
    ("files", "parallel", "runtime", "settings"),
    ("errors", "types"),
)
# What a module may not import although it lies below.
CLOSED = {
    "metalearn.learners": (
        "models",
        "data",
        "files",
        "parallel",
        "runtime",
    ),  # a learner gets a `Network`
    "metalearn.models": ("files", "parallel", "runtime", "settings"),
    "metalearn.data": ("files", "parallel", "runtime", "settings"),
    "metalearn.evaluation": ("models", "runtime", "settings"),
}
# Settings -> a method ready to run: this one module brings learners and models together
OPEN = ("metalearn.learners.method",)


def part_of(module: str) -> str:
    """`ops` of `metalearn.ops.losses`, `types` of `metalearn.types`."""
    return module.split(".")[1] if "." in module else ""


def below(part: str) -> set[str]:
    """The parts that a part may import."""
    depth = next(i for i, layer in enumerate(LAYERS) if part in layer)
    return {part, *(other for layer in LAYERS[depth + 1 :] for other in layer)}


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Full names imported, and whether at the top of the file."""
    top = set(map(id, ast.iter_child_nodes(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((f"{origin}.{alias.name}", id(node) in top) for alias in node.names)


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def broken_rules(source: str, module: str) -> list[str]:
    """What the imports of a module's source break."""
    broken = []
    part = part_of(module)
    closed = () if module in OPEN else CLOSED.get(f"metalearn.{part}", ())
    for name, top in imports(ast.parse(source)):
        other = part_of(name)
        if within(name, "metalearn") and part and (other not in below(part) or other in closed):
            broken.append(f"{module} imports {name}")
        if within(name, "flax") and not within(module, "metalearn.models"):
            broken.append(f"{module} imports {name}: Flax stays in metalearn.models")
        if within(name, "absl"):
            broken.append(f"{module} imports {name}: flags are the programs'")
        if any(within(name, part) for part in ("experiments", "benchmarks", "tests")):
            broken.append(f"{module} imports {name}: the library knows none of its users")
        if name.startswith("."):
            broken.append(f"{module} imports {name}: write the full name")
        lazy = any(within(module, part) for part in LAZY)
        if top and not lazy and any(within(name, part) for part in (*HEAVY, *LAZY)):
            broken.append(f"{module} imports {name} at its top")
    return broken


@pytest.mark.parametrize(("path", "module"), list(zip(FILES, MODULES, strict=True)), ids=MODULES)
def test_module_imports_follow_the_layers_and_functions_are_short(path: Path, module: str) -> None:
    tree = ast.parse(path.read_text())
    assert broken_rules(path.read_text(), module) == []
    assert ast.get_docstring(tree), "no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert statements(node) <= MOST_STATEMENTS, f"{node.name} is long"


def statements(function: ast.FunctionDef) -> int:
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1


@pytest.mark.parametrize("folder", ["metalearn", "experiments", "benchmarks"])
def test_files_have_at_most_250_lines(folder: str) -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_functions_are_small() -> None:
    """Nine of ten functions have at most 25 statements, lines in which nothing is packed."""
    trees = [ast.parse(path.read_text()) for path in FILES]
    functions = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    sizes = sorted(map(statements, functions))
    assert sizes[len(sizes) * 9 // 10] <= 25


@pytest.mark.parametrize("path", PEERS, ids=[path.stem for path in PEERS])
def test_what_peers_run_imports_nothing_of_ours(path: Path) -> None:
    others = {path for path in (ROOT / "benchmarks").rglob("*.py") if path not in PEERS}
    ours = ["metalearn", *(module_of(path) for path in others)]
    found = [name for name, _ in imports(ast.parse(path.read_text()))]
    assert [name for name in found if any(within(name, part) for part in ours)] == []


def test_programs_get_their_flags_from_the_command_line_folder() -> None:
    """They import nothing of absl; what is in `experiments/_cli` does."""
    benchmarks = (ROOT / "benchmarks").rglob("*.py")
    found = {
        path.name
        for path in [*(ROOT / "experiments").glob("*.py"), *benchmarks]
        for name, _ in imports(ast.parse(path.read_text()))
        if within(name, "absl")
    }
    assert found == set()


def test_importing_programs_does_nothing() -> None:
    """It neither restarts the process nor changes signal handlers, as a program's start does."""
    code = "import signal; old = signal.getsignal(2); import experiments, experiments._cli.begin as begin; "
    code += "print(signal.getsignal(2) is old, begin.is_program())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True False\n" and not done.stderr


def test_every_module_belongs_to_a_part_and_every_part_has_one() -> None:
    known = [part for layer in LAYERS for part in layer]
    assert {part_of(module) for module in MODULES} - {""} == set(known)
    assert len(known) == len(set(known)) and len(MODULES) > 60


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from metalearn.models import make_network", "metalearn.learners.maml"),
        ("from metalearn import models", "metalearn.learners.maml"),
        ("from ..models.conv import conv", "metalearn.learners.maml"),
        ("import metalearn.ops.losses", "metalearn.types"),
        ("def f():\n    from metalearn.learners import maml", "metalearn.data.episodes"),
        ("import flax.linen as nn", "metalearn.training.step"),
        ("from metalearn.records.store import write_record", "metalearn.training.loop"),
        ("from metalearn.config import Config", "metalearn.learners.maml"),
        ("from metalearn.models import mirrored", "metalearn.learners.registry"),
        ("from metalearn.settings import Common", "metalearn.data.cache"),
        ("from absl import flags", "metalearn.settings"),
        ("import matplotlib.pyplot", "metalearn.records.pictures"),
        ("from metalearn.data import glyphs", "metalearn.training.assemble"),
        ("from experiments._cli.flags import define", "metalearn.run"),
    ],
)
def test_rules_catch_what_they_forbid(source: str, module: str) -> None:
    assert len(broken_rules(source, module)) == 1
