"""Published recipes, by (method, dataset, shots). Any flag overrides.

A preset says what the paper did where it is known, and what we chose where it is not, or where a
CPU's patience asks for less; the comment beside it says which.
"""

from typing import Any

Preset = dict[str, Any]

# Finn et al. 2017, appendix A.1, and its released code: 60,000 updates of Adam at 1e-3, train
# queries = K on Omniglot and 15 elsewhere, moments of each call, no augmentation. There the inner
# loss is the sum over classes of the mean over their images: its inner rates of 0.4 (Omniglot) and
# 0.01 are 2 and 0.05 times the mean over 5 classes, as here. With 0.05, CIFAR-FS is learned faster
# than with 0.01. On Omniglot 0.4 stays, as in most later code.
_MAML_OMNIGLOT: Preset = dict(
    backbone="conv4-64-strided",
    steps=60_000,
    meta_batch=32,
    inner_lr=0.4,
    inner_steps=1,
    test_inner_steps=3,
)
_MAML_COLOUR: Preset = dict(
    backbone="conv4-32",
    steps=60_000,
    meta_batch=4,
    inner_lr=0.05,
    inner_steps=5,
    test_inner_steps=10,
    train_queries=15,
)

# Oh et al. 2021, released code: one step of 0.5 on Conv4-64 (and 30,000 updates). On Omniglot the
# rest is MAML's.
_BOIL_COLOUR: Preset = _MAML_COLOUR | dict(
    backbone="conv4-64", inner_lr=0.5, inner_steps=1, test_inner_steps=1
)

# Nichol et al. 2018, appendix A, and its released code: rate 1 falling to 0, inner Adam, other
# batches at test. These are its settings of 5 ways; 20 have batches of 20 (10 at test), 10 steps of
# 5e-4 and 200,000 updates. There the last weights are tested, on one query a class, so that
# transductive moments are of one image of each (--queries=1 here).
_REPTILE: Preset = dict(
    optimizer="sgd",
    momentum=0.0,
    lr=1.0,
    schedule="linear",
    steps=100_000,
    meta_batch=5,
    inner_lr=1e-3,
    inner_batch=10,
    test_inner_steps=50,
    train_queries=1,
)
_REPTILE_OMNIGLOT: Preset = _REPTILE | dict(
    backbone="conv4-64-strided-flat", inner_steps=5, train_shots=10
)
_REPTILE_COLOUR: Preset = _REPTILE | dict(backbone="conv4-32", inner_steps=8, train_shots=15)

# Li et al. 2017: one step, in training and at test, on MAML's networks; where step sizes begin is
# ours.
_META_SGD: Preset = dict(inner_steps=1, test_inner_steps=1)

# Antoniou et al. 2019, section 5, and its released configurations: 100 epochs of 500 updates,
# losses of earlier steps for the first 10 (Omniglot) or 15 epochs, second derivatives throughout
# (the paper: after 50 epochs). Step sizes begin at 0.1, what its code takes; the 0.01 of its
# configurations for miniImageNet is not read. There the cosine ends at 1e-5 on Omniglot, and for
# miniImageNet where it begins; ReLUs leak (0.01), and 1-shot batches are of 8 and 2.
_MAMLPP: Preset = dict(
    steps=50_000, schedule="cosine", inner_lr=0.1, inner_steps=5, test_inner_steps=5
)
_MAMLPP_OMNIGLOT: Preset = _MAMLPP | dict(backbone="conv4-64", multi_step=5_000, train_queries=1)
_MAMLPP_COLOUR: Preset = _MAMLPP | dict(backbone="conv4-48", multi_step=7_500)

# Rajeswaran et al. 2019, table 2, and its released code: lambda 2 and 16 steps of 0.1 on Omniglot,
# on flattened features, damped (see `metalearn.learners.imaml`). Elsewhere ours.
_IMAML: Preset = dict(
    inner_lr=0.1, inner_steps=16, test_inner_steps=16, proximal=2.0, cg_steps=5, cg_damping=22.0
)
_IMAML_OMNIGLOT: Preset = _IMAML | dict(backbone="conv4-64-strided-flat", steps=20_000)

# Zintgraf et al. 2019 and its released code; there the rate falls by a tenth every 5,000 updates.
_CAVIA: Preset = dict(inner_lr=1.0, inner_steps=2, test_inner_steps=2, context=100)

# Triantafillou et al. 2020, released configurations: first order; 6 steps and 5 more at test in one
# of those found best, with a rate of 0.311 (0.01 is the default's), and normalisation's scale and
# shift held. The rest is MAML's.
_PROTO_MAML: Preset = dict(
    backbone="conv4-64", first_order=True, inner_lr=0.01, inner_steps=6, test_inner_steps=11
)

# Ye & Chao 2022, released commands: first order, steps of 0.1. They begin from a pre-trained
# ResNet-12 with SGD; from random weights, as here, the rest is MAML's, and all of it on Omniglot,
# second derivatives too.
_UNICORN: Preset = dict(backbone="resnet12", first_order=True, inner_lr=0.1)

# Snell et al. 2017, section 3: Adam at 1e-3, halved every 2,000 episodes; 60-way 5-query training
# on Omniglot. On colour images ways are theirs; queries (there 15), schedule, augmentation and
# meta-batch are ours. What validation has picked is tested; their released code then trains on the
# validation classes too.
_PROTO: Preset = dict(backbone="conv4-64", norm="running", lr=1e-3, schedule="halve:2000")
_PROTO_OMNIGLOT: Preset = _PROTO | dict(
    train_ways=60, train_queries=5, meta_batch=1, steps=10_000, valid_every=500
)
_PROTO_COLOUR: Preset = _PROTO | dict(
    train_queries=5, meta_batch=2, schedule="cosine", augment="flip,crop"
)

# Vinyals et al. 2016 trained by episodes like those of the test. Chen et al. 2019's released code
# has full-context embeddings, rectifies cosines, multiplies them by 100, and keeps every
# probability above 1e-6; without that floor 100 is too much (see RESULTS.md for 20). Its other
# settings, and all of Sung et al. 2018's but the network and the loss: ours, as for ProtoNet.
_MATCHING: Preset = _PROTO_COLOUR | dict(train_queries=15, scale=20.0, steps=40_000)
_RELATION: Preset = _PROTO_COLOUR | dict(
    backbone="conv4-64-map", train_queries=10, meta_batch=1, steps=40_000
)

# Bertinetto et al. 2019, released configurations: Adam at 5e-3, halved every 2,000 episodes of 240
# images, 20 ways on CIFAR, 16 on miniImageNet, 60 on Omniglot (600 images), there without dropout;
# the logits' scale begins at 10 or 1e-4, weights begin as PyTorch's. Shots of training episodes are
# drawn from 1 to 9.
_R2D2: Preset = _PROTO | dict(
    backbone="conv4-512",
    lr=5e-3,
    train_shots=5,
    train_queries=7,
    most_train_shots=9,
    meta_batch=1,
    steps=60_000,
    scale=10.0,
    initial="torch",
)
_R2D2_PLAIN: Preset = _R2D2 | dict(backbone="conv4-512-28px")

# Lee et al. 2019, section 4.1, and its released code: SGD at 0.1 with Nesterov momentum, weight
# decay 5e-4 of all weights, 8 episodes an update, 60 epochs of 1,000 updates (in the paper of 1,000
# episodes), rates of 0.1, 0.006, 0.0012 and 0.00024 from epochs 0, 20, 40 and 50; 5 shots in
# training on CIFAR-FS, 15 elsewhere; 6 queries.
_METAOPT: Preset = dict(
    backbone="resnet12-flat",
    norm="running",
    optimizer="sgd",
    lr=0.1,
    weight_decay=5e-4,
    decay="all",
    schedule="steps:0.06@0.33333,0.2@0.66667,0.2@0.83333",
    augment="flip,crop,jitter",
    train_queries=6,
    meta_batch=8,
    steps=60_000,
)

# One pre-training for all baselines, that of Tian et al. 2020's released code: SGD 0.05, momentum
# 0.9, weight decay 5e-4 of all weights, batches of 64, 100 epochs, the rate times 0.1 after 60 and
# 80; augmented by crop, jitter and flip; kernels by He et al. 2015. So heads alone are compared,
# but for Baseline++, whose body learns through its own classifier (Chen et al. 2019, released code:
# Adam at 1e-3, batches of 16; lengths of the weights begin at about 0.58, here at 1).
# LaplacianShot's and TIM's bodies are released with labels smoothed by 0.1, here they are not.
# Batches are drawn with replacement, there epoch by epoch.
_SUPERVISED: Preset = dict(
    backbone="conv4-64",
    norm="running",
    optimizer="sgd",
    nesterov=False,
    lr=0.05,
    weight_decay=5e-4,
    decay="all",
    schedule="steps:0.1@0.6,0.1@0.8",
    augment="flip,crop,jitter",
    initial="he",
    steps=60_000,
    meta_batch=1,
    batch_size=64,
    valid_every=2000,
)
# Tian et al. 2020's last code crops and flips the copies; an earlier one jittered them too.
_RFS: Preset = _SUPERVISED | dict(support_copies=5)
# Dhillon et al. 2020, section 4: Adam at 5e-5, 25 epochs. It takes long: few validation episodes.
# Their released code pre-trains otherwise (WRN-28-10, batches of 256, two cosine cycles, mixup,
# smoothed labels), here all baselines share.
_FINETUNE: Preset = _SUPERVISED | dict(
    inner_lr=5e-5, test_inner_steps=25, valid_episodes=50, valid_every=10_000
)

# Ours, for a first look of some minutes on two CPU cores.
_MAML_GLYPHS: Preset = dict(
    backbone="conv4-64-strided",
    steps=600,
    meta_batch=16,
    inner_lr=0.4,
    inner_steps=1,
    test_inner_steps=3,
    train_queries=5,
    valid_every=200,
    valid_episodes=200,
    episodes=1000,
)

_REPTILE_GLYPHS: Preset = _REPTILE_OMNIGLOT | dict(
    steps=600, train_shots=8, valid_every=200, valid_episodes=200, episodes=1000
)

GRADIENT = ("maml", "fomaml", "anil", "boil")
HEADS = ("baseline", "baseline++", "rfs", "simpleshot", "nearest_neighbour", "laplacianshot", "tim")
SUPERVISED = (*HEADS, "finetune", "transductive_finetune")
COLOUR = ("cifar_fs", "fc100", "mini_imagenet")
# No augmentation: a mirrored character may be another one, or look like a turned one, another class
# on Omniglot.
CHARACTERS = ("omniglot", "glyphs")


def _relatives(one: bool) -> dict[str, tuple[Preset, Preset, Preset]]:
    """Recipes of MAML's relatives on Omniglot, on glyphs and elsewhere; for 1 shot, or for 5."""
    omniglot = _MAML_OMNIGLOT | dict(train_queries=1 if one else 5)
    glyphs = _MAML_GLYPHS
    colour = _MAML_COLOUR
    steps = (
        dict(inner_steps=5, test_inner_steps=5)
        if one
        else dict(inner_steps=20, test_inner_steps=20)
    )
    return {
        "reptile": (
            _REPTILE_OMNIGLOT | dict(test_inner_batch=5),
            _REPTILE_GLYPHS,
            _REPTILE_COLOUR | dict(test_inner_batch=5 if one else 15),
        ),
        "meta_sgd": (omniglot | _META_SGD, glyphs | _META_SGD, colour | _META_SGD),
        "maml++": (
            _MAMLPP_OMNIGLOT | dict(meta_batch=16 if one else 8),
            glyphs | dict(schedule="cosine", inner_steps=2, test_inner_steps=2, multi_step=100),
            _MAMLPP_COLOUR | dict(meta_batch=4 if one else 2),
        ),
        "imaml": (omniglot | _IMAML_OMNIGLOT, glyphs | _IMAML, colour | _IMAML),
        "cavia": (omniglot | _CAVIA, glyphs | _CAVIA, colour | _CAVIA | dict(meta_batch=16)),
        "proto_maml": (omniglot | _PROTO_MAML, glyphs | _PROTO_MAML, colour | _PROTO_MAML),
        "unicorn_maml": (omniglot, glyphs, colour | _UNICORN | steps),
    }


DEFAULTS: dict[str, Preset] = (
    dict.fromkeys(GRADIENT, _MAML_COLOUR)
    | {"boil": _BOIL_COLOUR}
    | dict.fromkeys(HEADS, _SUPERVISED)
    | dict.fromkeys(("finetune", "transductive_finetune"), _FINETUNE)
    | {
        "protonet": _PROTO_COLOUR | dict(steps=10_000),
        "matchingnet": _MATCHING,
        "relationnet": _RELATION,
    }
    | {"r2d2": _R2D2, "metaoptnet": _METAOPT, "rfs": _RFS}
    | {method: colour for method, (_, _, colour) in _relatives(True).items()}
)

PRESETS: dict[tuple[str, str, int], Preset] = {}
for _shots in (1, 5):
    for _method in GRADIENT:
        PRESETS[_method, "omniglot", _shots] = _MAML_OMNIGLOT | dict(train_queries=_shots)
        PRESETS[_method, "glyphs", _shots] = _MAML_GLYPHS
    for _method, (_omniglot, _glyphs, _colour) in _relatives(_shots == 1).items():
        PRESETS |= {(_method, "omniglot", _shots): _omniglot, (_method, "glyphs", _shots): _glyphs}
        PRESETS |= {(_method, _dataset, _shots): _colour for _dataset in COLOUR}
    PRESETS["protonet", "omniglot", _shots] = _PROTO_OMNIGLOT
    PRESETS["protonet", "glyphs", _shots] = _PROTO_OMNIGLOT | dict(
        train_ways=20, meta_batch=2, steps=1500
    )
    PRESETS["r2d2", "omniglot", _shots] = _R2D2_PLAIN | dict(
        train_ways=60, train_shots=5, train_queries=5, steps=20_000
    )
    PRESETS["r2d2", "glyphs", _shots] = _R2D2_PLAIN
    for _dataset in CHARACTERS:
        for _method in (*SUPERVISED, "matchingnet", "relationnet", "metaoptnet"):
            PRESETS[_method, _dataset, _shots] = DEFAULTS[_method] | dict(
                augment="none", support_copies=1
            )
    for _dataset in ("cifar_fs", "fc100"):
        PRESETS["r2d2", _dataset, _shots] = _R2D2 | dict(train_ways=20, train_shots=5)
        PRESETS["metaoptnet", _dataset, _shots] = _METAOPT | dict(
            train_shots=5 if _dataset == "cifar_fs" else 15
        )
    PRESETS["r2d2", "mini_imagenet", _shots] = _R2D2 | dict(
        backbone="conv4-512-84px", train_ways=16, train_shots=5, train_queries=10, scale=1e-4
    )
    PRESETS["metaoptnet", "mini_imagenet", _shots] = _METAOPT | dict(
        backbone="resnet12-84px-flat", train_shots=15, label_smoothing=0.1
    )
    for _dataset in COLOUR:
        for _method in GRADIENT:
            PRESETS[_method, _dataset, _shots] = _MAML_COLOUR
        PRESETS["boil", _dataset, _shots] = _BOIL_COLOUR
        # Snell et al. 2017 train miniImageNet with 30 ways for 1 shot and 20 for 5.
        PRESETS["protonet", _dataset, _shots] = _PROTO_COLOUR | dict(
            train_ways=30 if _shots == 1 else 20, steps=10_000
        )


def preset(method: str, dataset: str, shots: int) -> Preset:
    """The settings published (or chosen) for this method, dataset and number of shots; none for a
    method without.
    """
    return PRESETS.get((method, dataset, 1 if shots < 3 else 5), DEFAULTS.get(method, {}))
