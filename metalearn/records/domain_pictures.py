"""A picture of two domains' features, before and after adaptation.

matplotlib and scikit-learn are imported only when drawing.
"""

from pathlib import Path

import numpy as np

from metalearn.errors import UserError
from metalearn.records.canvas import new_figure, save

PCA = "pca"
TSNE = "tsne"
KINDS = (PCA, TSNE)
MOST = 500  # images of a domain that are shown
PERPLEXITY = 30.0
COLOURS = {"source": "#1565c0", "target": "#ef6c00"}
Pair = tuple[np.ndarray, np.ndarray]


def flat(z: np.ndarray, kind: str, seed: int = 0) -> np.ndarray:
    """Features [M,D] in the plane [M,2]; of a single feature the other axis is 0.

    Args:
      z: features, of both domains.
      kind: `pca`, or `tsne` (van der Maaten & Hinton 2008; perplexity 30, less of few images).
      seed: of t-SNE.

    Raises:
      UserError: another kind.
    """
    if kind not in KINDS:
        raise UserError(f"unknown picture '{kind}': choose one of {', '.join(KINDS)}")
    if z.shape[1] == 1:
        z = np.pad(z, ((0, 0), (0, 1)))
    if kind == TSNE:
        from sklearn.manifold import TSNE as Embedding

        found = Embedding(perplexity=min(PERPLEXITY, (len(z) - 1) / 3), random_state=seed)
        return np.asarray(found.fit_transform(np.asarray(z, np.float32)))
    from sklearn.decomposition import PCA as Axes

    return np.asarray(Axes(2, svd_solver="full").fit_transform(z))


def draw_domains(before: Pair, after: Pair, path: Path, title: str, kind: str = PCA) -> None:
    """Draws source and target, as they came on the left, adapted on the right.

    Args:
      before: features [M,D] and [N,D] of the source's and the target's images.
      after: [M,E] and [N,E].
      path: of the PNG.
      title: above it.
      kind: of `KINDS`.
    """
    figure = new_figure(9.0, 4.5)
    for panel, pair, said in zip(
        figure.subplots(1, 2), (before, after), ("before", "after"), strict=True
    ):
        some = [z[:: -(-len(z) // MOST)] for z in pair]
        places = flat(np.concatenate(some), kind)
        for (name, colour), points in zip(
            COLOURS.items(), np.split(places, [len(some[0])]), strict=True
        ):
            panel.scatter(*points.T, s=6, alpha=0.5, color=colour, label=name, linewidths=0)
        panel.set(xticks=[], yticks=[], title=said)
        panel.legend(markerscale=2, fontsize=8)
    figure.suptitle(title)
    save(figure, path, 130)
