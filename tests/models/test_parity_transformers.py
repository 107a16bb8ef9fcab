"""ResNet, MobileNetV2, ViT and DINOv2 of random weights against those of transformers."""

from pathlib import Path

import numpy as np
import pytest

from tests.models import parity
from tests.models.parity import channels_first, compare, features, images, randomise, saved

parity.libraries("torch", "transformers", "safetensors")
import torch  # noqa: E402
import transformers  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of other libraries


def resnet(depth: int):
    wide = depth >= 50
    depths = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}[depth]
    config = transformers.ResNetConfig(
        embedding_size=64,
        hidden_sizes=[256, 512, 1024, 2048] if wide else [64, 128, 256, 512],
        depths=depths,
        layer_type="bottleneck" if wide else "basic",
    )
    return transformers.ResNetForImageClassification(config)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_resnet(depth: int, tmp_path: Path) -> None:
    model = resnet(depth)
    randomise(model)
    x = images(224)
    with torch.no_grad():
        out = model(channels_first(x), output_hidden_states=True)
        expected = model.resnet(channels_first(x)).pooler_output[:, :, 0, 0]
    body = saved(model, tmp_path, f"resnet{depth}")
    compare(features(body, x), expected.numpy())
    for i, stage in enumerate(("stem", "stage1", "stage2", "stage3", "stage4")):
        maps = out.hidden_states[i].numpy().transpose(0, 2, 3, 1)
        compare(features(body, x, last=stage), maps)
    logits = features(body, x) @ body.classifier["kernel"] + body.classifier["bias"]
    compare(np.asarray(logits), out.logits.numpy())


def test_mobilenet(tmp_path: Path) -> None:
    model = transformers.MobileNetV2ForImageClassification(transformers.MobileNetV2Config())
    randomise(model)
    x = images(224)
    with torch.no_grad():
        expected = model.mobilenet_v2(channels_first(x)).pooler_output
    compare(features(saved(model, tmp_path, "mobilenet-v2"), x), expected.numpy())


def test_vit(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536
    )
    model = transformers.ViTForImageClassification(config)
    randomise(model)
    x = images(224)
    with torch.no_grad():
        out = model(channels_first(x), output_hidden_states=True)
        expected = model.vit(channels_first(x)).last_hidden_state[:, 0]
    body = saved(model, tmp_path, "vit-s16")
    compare(features(body, x), expected.numpy())
    compare(features(body, x, last="stem"), out.hidden_states[0].numpy())
    compare(features(body, x, last="block6"), out.hidden_states[6].numpy())


@pytest.mark.parametrize("size", [224, 518])
def test_dinov2(size: int, tmp_path: Path) -> None:
    """At the size it learned positions of, and at one where they are interpolated."""
    config = transformers.Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14
    )
    model = transformers.Dinov2Model(config)
    randomise(model)
    with torch.no_grad():
        model.embeddings.position_embeddings.normal_(0, 0.5)
    x = images(size, 1)
    with torch.no_grad():
        expected = model(channels_first(x)).pooler_output
    compare(features(saved(model, tmp_path, "dinov2-s14"), x), expected.numpy())
