"""Labelled images of one kind, unlabelled ones of the kind that is asked: what does adapting bring?

    python -m experiments.adapt --source=mnist --target=usps --methods=recentre,coral --images=2000
    python -m experiments.adapt --source=grocery_iconic --target=grocery --features=body
    python -m experiments.adapt --source=labelled --data_dir=A --target=labelled \
        --target_data_dir=B --draws=1

The same classifier is fitted to features that each method adapts, beside that of the source alone
(`none`), in several draws; or (`--methods=dann,mcc`, say) the same body is trained by each method,
beside the source alone (`source_only`), with several seeds. It says accuracy, macro recall and F1
in both domains, how far apart they are before and after, and what validators without labels of the
target would choose. The same command goes on with draws that are missing.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.adapt import adapt_all
from experiments._cli.adapt_arguments import define_adapt
from experiments._cli.start import start

if __name__ == "__main__":
    define_adapt()
    start(adapt_all)
