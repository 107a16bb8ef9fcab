"""Names of published weights: they are the libraries' own, and each has one place here."""

import hashlib
import math
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models.bottleneck import Stage, Style, build
from metalearn.models.entries import MOMENTS, PARAMS, classifier, conv_norm
from metalearn.models.layouts import Family, Layout, choose_layout, place
from metalearn.models.zoo import BODIES, make_body
from metalearn.types import InputSpec

# How many names each library's own network has, without counters, and the beginning of the SHA-256
# of the sorted names, one a line: torchvision 0.28.0, timm 1.0.31, files of transformers 5.24.0
NAMES = {
    ("resnet18", 0): (102, "e90b1f58ce95ad39"),
    ("resnet34", 0): (182, "aeaf9ac2b41bf067"),
    ("resnet50", 0): (267, "d1512e10e88bf8a9"),
    ("resnet18", 1): (102, "201b2a22b9dafdfd"),
    ("resnet34", 1): (182, "2769401b04a2f5e1"),
    ("resnet50", 1): (267, "5db7ad3cdcba7520"),
    ("vgg16", 0): (32, "66817e7930788a33"),
    ("vgg16", 1): (32, "d7e4570566e92ed5"),
    ("vgg16-bn", 0): (84, "b3372d34016ee025"),
    ("vgg16-bn", 1): (84, "8a50da39954f6d32"),
    ("inception-v3", 0): (472, "ed87dd0f166ade68"),
    ("mobilenet-v2", 0): (262, "7abb0d3441db5855"),
    ("mobilenet-v2", 1): (262, "6d15a2002986888a"),
    ("mobilenet-v2-transformers", 0): (262, "6b6ba9931665a146"),
    ("vit-s16", 0): (152, "3140050d56e79b92"),
    ("vit-s16-transformers", 0): (200, "efda5e4f1b090f25"),
    ("dinov2-s14", 0): (174, "7c21b80e167299ef"),
    ("dinov2-s14", 1): (222, "b3df4af2f3de2806"),
}
# Published sizes, in parameters without the classifier
SIZES = {
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "vgg16": 134_260_544,
    "inception-v3": 21_785_568,
    "mobilenet-v2": 2_223_872,
    "vit-s16": 21_665_664,
    "dinov2-s14": 22_056_192,
}
BOTH = [(name, i) for name in BODIES for i, _ in enumerate(BODIES[name].family().layouts)]


def keys_of(layout: Layout) -> list[str]:
    return [key for entry in layout.entries for key in entry.keys]


def paths(tree: object) -> dict[tuple[str, ...], tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(key.key for key in path): leaf.shape for path, leaf in leaves}


@pytest.mark.parametrize(("name", "position"), BOTH)
def test_every_weight_has_one_place(name: str, position: int) -> None:
    """Each name is used once, and each parameter and running statistic is given."""
    family = BODIES[name].family()
    layout = family.layouts[position]
    assert set(Counter(keys_of(layout)).values()) == {1}
    image = jax.ShapeDtypeStruct((1, *layout.inputs.shape), jnp.float32)
    module = family.build()
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)
    for tree in (PARAMS, MOMENTS):
        given = [entry.path for entry in layout.entries if entry.tree == tree]
        assert len(given) == len(set(given))
        assert set(given) == set(paths(shapes.get(tree, {})))
    if name in SIZES:
        assert sum(map(math.prod, paths(shapes[PARAMS]).values())) == SIZES[name]


@pytest.mark.parametrize(("name", "position"), NAMES)
def test_names_are_the_libraries_own(name: str, position: int) -> None:
    keys = sorted(set(keys_of(BODIES[name].family().layouts[position])))
    found = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    assert (len(keys), found) == NAMES[name, position]


def test_inputs_are_each_networks_own() -> None:
    """Wrong statistics raise no error anywhere: they only cost accuracy."""
    usual = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    about_zero = ((0.5,) * 3, (0.5,) * 3)
    expected = {
        "resnet50": [usual, usual],
        "vgg16": [usual, usual, ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)],
        "inception-v3": [about_zero],
        "inception-v3-keras": [about_zero],
        "mobilenet-v2": [usual, usual],
        "mobilenet-v2-transformers": [about_zero],
        "vit-s16": [about_zero],
        "vit-s16-transformers": [about_zero],
        "deit-s16": [usual],
        "deit-s16-transformers": [usual],
        "dinov2-s14": [usual, usual],
        "efficientnet-lite2": [((127 / 255,) * 3, (128 / 255,) * 3)],
    }
    for name, specs in expected.items():
        layouts = BODIES[name].family().layouts
        for each, (mean, std) in zip(layouts, specs, strict=True):
            np.testing.assert_allclose(each.inputs.mean, mean, rtol=1e-6)
            np.testing.assert_allclose(each.inputs.std, std, rtol=1e-6)
    sizes = {name: make_body(name).inputs.size[0] for name in expected}
    assert sizes["inception-v3"] == 299 and sizes["efficientnet-lite2"] == 260
    assert {sizes[name] for name in ("resnet50", "vgg16", "vit-s16", "dinov2-s14")} == {224}


def tiny() -> tuple[Family, dict[str, np.ndarray]]:
    """A network of one small block, and a file of it."""
    stages = (Stage(1, 3, 1, 1, 4),)
    entries = (
        *conv_norm(("stem", "conv"), "conv", "bn"),
        *conv_norm(("stage1", "block0", "depthwise"), "dw", "dw_bn"),
        *conv_norm(("stage1", "block0", "project"), "pw", "pw_bn"),
        *conv_norm(("final", "conv"), "last", "last_bn"),
        *classifier("fc"),
    )
    inputs = InputSpec((16, 16), (0.0,) * 3, (1.0,) * 3)
    layout = Layout("tiny", entries, inputs, prefix="net.")
    family = Family(lambda: build(stages, Style(1e-3, True)), (layout,))
    rng = np.random.default_rng(0)
    shapes = {
        "conv": (32, 3, 3, 3),
        "dw": (32, 1, 3, 3),
        "pw": (4, 32, 1, 1),
        "last": (1280, 4, 1, 1),
    }
    arrays = {f"{name}.weight": rng.normal(size=shape) for name, shape in shapes.items()}
    for norm, name in (("bn", "conv"), ("dw_bn", "dw"), ("pw_bn", "pw"), ("last_bn", "last")):
        for part in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"{norm}.{part}"] = rng.uniform(1, 2, shapes[name][0])
        arrays[f"{norm}.num_batches_tracked"] = np.array(3)
    arrays |= {"fc.weight": rng.normal(size=(5, 1280)), "fc.bias": rng.normal(size=5)}
    return family, arrays


def test_arrays_become_ours() -> None:
    (family, arrays) = tiny()
    layout = family.layouts[0]
    placed = place(layout, arrays, family.build(), Path("net.pth"))
    kernel = arrays["conv.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(placed.params["stem"]["conv"]["kernel"], kernel, rtol=1e-6)
    scale = placed.params["final"]["conv"]["norm"]["scale"]
    np.testing.assert_allclose(scale, arrays["last_bn.weight"], rtol=1e-6)
    var = placed.moments["stage1"]["block0"]["project"]["norm"]["var"]
    np.testing.assert_allclose(var, arrays["pw_bn.running_var"], rtol=1e-6)
    np.testing.assert_allclose(placed.classifier["kernel"], arrays["fc.weight"].T, rtol=1e-6)


def test_prefix_and_missing_classifier() -> None:
    (family, arrays) = tiny()
    layout = family.layouts[0]
    prefixed = {f"net.{key}": value for key, value in arrays.items() if not key.startswith("fc")}
    placed = place(
        choose_layout(family.layouts, prefixed, Path("net")), prefixed, family.build(), Path("net")
    )
    assert placed.classifier is None
    whole = place(layout, arrays, family.build(), Path("net"))
    jax.tree.map(np.testing.assert_array_equal, placed.params, whole.params)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"conv.weight": np.zeros((16, 3, 3, 3))}, r"another size \(conv.weight differs\)"),
        ({"conv.weight": np.zeros(16)}, r"another size \(conv.weight differs\)"),
        ({"conv.bias": np.zeros(32)}, r": 1 left over \(conv.bias\); give"),
        ({"bn.bias": None}, r": 1 missing \(bn.bias\); give"),
        ({"fc.bias": None}, r": 1 missing \(fc.bias\); give"),
        ({"bn.bias": None, "bn.weight": None}, r": 2 missing \(bn.bias ...\); give"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, what: str) -> None:
    (family, arrays) = tiny()
    wrong = {key: value for key, value in (arrays | change).items() if value is not None}
    with pytest.raises(UserError, match=what) as error:
        place(family.layouts[0], wrong, family.build(), Path("net.pth"))
    assert "net.pth" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "key", "shape"),
    [("vit-s16", "pos_embed", ()), ("vgg16", "block1_conv1/0", (3, 64))],
)
def test_arrays_of_fewer_axes_are_named(name: str, key: str, shape: tuple[int, ...]) -> None:
    family = BODIES[name].family()
    layout = next(each for each in family.layouts if key in keys_of(each))
    entry = next(each for each in layout.entries if key in each.keys)
    layout = layout._replace(entries=(entry,))
    with pytest.raises(UserError, match=f"another size .{key} differs"):
        place(layout, {key: np.zeros(shape)}, family.build(), Path("net"), known=True)


def test_layout_is_that_of_the_file(tmp_path: Path) -> None:
    """MobileNetV2 standardises as the library of its weights does."""
    layouts = BODIES["mobilenet-v2"].family().layouts
    for layout in layouts:
        chosen = choose_layout(layouts, dict.fromkeys(keys_of(layout)), tmp_path)
        assert chosen.name == layout.name
