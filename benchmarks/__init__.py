"""Speed and memory, side by side with peers.

    benchmarks/peers/setup.sh              # the peers, in an environment of their own (.venv-peers)
    python -m benchmarks.meta_step         # one outer step of MAML
    python -m benchmarks.protonet_step     # one outer step of prototypical networks
    python -m benchmarks.evaluation        # 10,000 test episodes
    python -m benchmarks.startup           # from nothing to the first step
    python -m benchmarks.memory            # peak memory
    python -m benchmarks.backbone          # a pre-trained network on a CPU
    python -m benchmarks.personalise       # recognisers of photographs
    python -m benchmarks.active            # rounds of active learning
    python -m benchmarks.convolution       # formulations of a convolution, ours alone
    python -m benchmarks.streaming         # images from the host beside images on the device
    python -m benchmarks.scaling           # several devices beside one, ours alone
    python -m benchmarks.precision         # lower precisions beside float32
    python -m benchmarks.plan              # what a step needs, found without data
    python -m benchmarks.lease.step        # kernels of a step on a GPU that is not here
    python -m benchmarks.report            # docs/performance.md, from the records of all these

Every contender, ours too, is a process of its own that is kept alive and asked over a pipe to make
so many steps; contenders take turns, so that what else the machine does slows all of them alike.
Modules of `benchmarks.peers` run in the peers' environment and import nothing of `metalearn`.
"""

import experiments._cli.begin  # noqa: F401  # huge pages, which contenders inherit, all alike
