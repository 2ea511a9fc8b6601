"""The scores with labels in float64 from explicit features, as their papers write them.

Nothing here is fast, nothing uses a Gram matrix, and nothing is shared with the product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, ward
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm, spearmanr

from tests.oracle.scores import zscore

Array = NDArray[np.float64]
Labels = Sequence[str]


def classes(labels: Labels) -> dict[str, list[int]]:
    """The probes of each class."""
    return {name: [i for i, y in enumerate(labels) if y == name] for name in sorted(set(labels))}


def knn(x: Array, labels: Labels, k: int = 5) -> float:
    """Every probe in turn: the class of most of its ``k`` nearest, lots drawn among equals.

    For features of which no two cosines tie.
    """
    correct = []
    for i in range(len(x)):
        cosines = {
            j: float(x[i] @ x[j]) / (math.sqrt(x[i] @ x[i]) * math.sqrt(x[j] @ x[j]))
            for j in range(len(x))
            if j != i
        }
        nearest = sorted(cosines, key=lambda j: -cosines[j])[:k]
        votes = [labels[j] for j in nearest]
        most = max(votes.count(name) for name in votes)
        winners = {name for name in votes if votes.count(name) == most}
        correct.append((labels[i] in winners) / len(winners))
    return math.fsum(correct) / len(correct)


def logme(x: Array, labels: Labels) -> float:
    """You et al. 2021: the evidence itself, a normal density, at its highest point."""
    return logme_regression(x, one_hot(labels))


def one_hot(labels: Labels) -> Array:
    """A column per class."""
    return np.array([[float(y == name) for name in sorted(set(labels))] for y in labels])


def logme_regression(x: Array, targets: Array) -> float:
    """The same for any targets, one per column."""
    count = len(x)
    covariance = x @ x.T / np.mean(np.sum(x**2, axis=1))
    variances, axes = np.linalg.eigh(covariance)
    evidences = []
    for target in targets.T:
        squares = (axes.T @ target) ** 2

        def loss(logs: Array, squares: Array = squares) -> float:
            """That of ``density`` but for a constant, on the axes: quick to search."""
            spread = variances * math.exp(-logs[0]) + math.exp(-logs[1])
            return float(np.sum(np.log(spread) + squares / spread)) / (2 * count)

        def density(logs: Array, target: Array = target) -> float:
            matrix = covariance * math.exp(-logs[0]) + np.eye(count) * math.exp(-logs[1])
            return float(multivariate_normal.logpdf(target, np.zeros(count), matrix)) / count

        starts = [(-2.0, 2.0), (3.0, 2.0)]
        options = {"xatol": 1e-6, "fatol": 1e-10, "maxiter": 2000}
        found = [minimize(loss, s, method="Nelder-Mead", options=options).x for s in starts]
        evidences.append(max(map(density, found)))
    return float(np.mean(evidences))


def ledoit_wolf(x: Array) -> tuple[Array, float]:
    """Ledoit & Wolf 2004: the shrunk ``D D`` covariance and its intensity, probe by probe."""
    count, dimensions = x.shape
    centred = x - x.mean(axis=0)
    sample = centred.T @ centred / count
    scale = float(np.trace(sample)) / dimensions
    identity = np.eye(dimensions)
    d2 = float(np.sum((sample - scale * identity) ** 2)) / dimensions
    b2 = sum(float(np.sum((np.outer(p, p) - sample) ** 2)) for p in centred)
    b2 /= count**2 * dimensions
    shrinkage = min(b2, d2) / d2
    return shrinkage * scale * identity + (1 - shrinkage) * sample, shrinkage


def h_score(x: Array, labels: Labels) -> float:
    """Bao et al. 2019 with the shrinkage of Ibrahim et al. 2022, in all ``D`` dimensions."""
    covariance, shrinkage = ledoit_wolf(x)
    means = np.zeros_like(x)
    for members in classes(labels).values():
        means[members] = x[members].mean(axis=0)
    between = np.cov(means, rowvar=False, ddof=0)
    return float(np.trace(np.linalg.inv(covariance) @ between) * (1 - shrinkage))


def transrate(x: Array, labels: Labels, epsilon: float = 1e-4) -> float:
    """Huang et al. 2022, features at total variance 1, in all ``D`` dimensions."""
    centred = x - x.mean(axis=0)
    centred /= math.sqrt(float(np.trace(np.cov(x, rowvar=False, ddof=0))))

    def rate(z: Array) -> float:
        matrix = np.eye(z.shape[1]) + z.T @ z / (len(z) * epsilon)
        return float(np.linalg.slogdet(matrix)[1]) / 2

    within = sum(len(m) / len(x) * rate(centred[m]) for m in classes(labels).values())
    return rate(centred) - within


def nleep(x: Array, labels: Labels) -> float:
    """Li et al. 2021: PCA to 80 %, a diagonal mixture, LEEP of its posteriors; all in loops."""
    centred = x - x.mean(axis=0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    energy = np.cumsum(singular**2) / np.sum(singular**2)
    kept = next(number for number, share in enumerate(energy, 1) if share >= 0.8)
    z = centred @ rows[:kept].T / math.sqrt(float(np.sum(centred**2)) / len(x))
    components = min(5 * len(set(labels)), len(x) // 4)
    posterior = _mixture(z, fcluster(ward(z), components, "maxclust"))
    total = 0.0
    for i, own in enumerate(labels):
        expected = 0.0
        for v in range(posterior.shape[1]):
            own_mass = math.fsum(posterior[j, v] for j, y in enumerate(labels) if y == own)
            expected += own_mass / math.fsum(posterior[:, v]) * posterior[i, v]
        total += math.log(expected)
    return total / len(labels)


def _mixture(z: Array, clusters: NDArray[np.integer]) -> Array:
    posterior = np.array([[float(c == v) for v in sorted(set(clusters))] for c in clusters])
    previous = -math.inf
    for _ in range(200):
        logs = np.empty_like(posterior)
        for v in range(posterior.shape[1]):
            weight = posterior[:, v] / posterior[:, v].sum()
            mean = weight @ z
            deviation = np.sqrt(weight @ (z - mean) ** 2 + 1e-6)
            logs[:, v] = norm.logpdf(z, mean, deviation).sum(axis=1)
            logs[:, v] += math.log(posterior[:, v].mean())
        likelihoods = np.logaddexp.reduce(logs, axis=1)
        posterior = np.exp(logs - likelihoods[:, None])
        if likelihoods.mean() - previous < 1e-6:
            break
        previous = float(likelihoods.mean())
    return posterior


def parc(x: Array, labels: Labels) -> float:
    """Bolya et al. 2021: Spearman of two dissimilarity matrices, of features and one-hot labels."""
    one_hot = np.array([[float(y == name) for name in sorted(set(labels))] for y in labels])
    features, targets = (
        [1 - np.corrcoef(values[i], values[j])[0, 1] for i, j in combinations(range(len(x)), 2)]
        for values in (x, one_hot)
    )
    # Two values only: rounding must not make more of them.
    return float(spearmanr(features, np.round(targets, 9)).statistic)


def gbc(x: Array, labels: Labels, components: int = 64) -> float:
    """Pandy et al. 2022: the Bhattacharyya distance of Gaussians, with their matrices."""
    centred = x - x.mean(axis=0)
    kept = min(components, int(np.linalg.matrix_rank(centred)))
    z = centred @ np.linalg.svd(centred, full_matrices=False)[2][:kept].T
    gaussians = [
        (z[m].mean(axis=0), np.eye(z.shape[1]) * np.var(z[m], axis=0).mean())
        for m in classes(labels).values()
    ]
    total = 0.0
    for a, (mean_a, matrix_a) in enumerate(gaussians):
        for b, (mean_b, matrix_b) in enumerate(gaussians):
            if a != b:
                middle = (matrix_a + matrix_b) / 2
                distance = (mean_a - mean_b) @ np.linalg.inv(middle) @ (mean_a - mean_b) / 8
                logs = [np.linalg.slogdet(m)[1] for m in (middle, matrix_a, matrix_b)]
                total -= math.exp(-distance - (logs[0] - (logs[1] + logs[2]) / 2) / 2)
    return total


def lfc(x: Array, labels: Labels) -> float:
    """Deshpande et al. 2021: Pearson of the flattened kernel and of the labels' signs."""
    kernel = [float(a @ b) for a in x for b in x]
    signs = [1.0 if a == b else -1.0 for a in labels for b in labels]
    return float(np.corrcoef(kernel, signs)[0, 1])


def sfda(x: Array, labels: Labels) -> float:
    """Shao et al. 2022 in all ``D`` dimensions, probe by probe; features at total variance 1."""
    x = x / math.sqrt(float(np.trace(np.cov(x, rowvar=False, ddof=0))))
    names = sorted(set(labels))

    def within(z: Array) -> Array:
        matrix = np.zeros((z.shape[1], z.shape[1]))
        for members in classes(labels).values():
            matrix += np.cov(z[members], rowvar=False, ddof=0) * len(members) / len(z)
        return matrix

    strength = math.exp(-5 * float(np.linalg.eigvalsh(within(x))[-1]))

    def posterior(z: Array) -> list[dict[str, float]]:
        inner = within(z)
        mean = float(np.trace(inner)) / int(np.linalg.matrix_rank(x - x.mean(axis=0)))
        inverse = np.linalg.inv((1 - strength) * inner + strength * mean * np.eye(len(inner)))
        found = []
        for probe in z:
            densities = {}
            for name, members in classes(labels).items():
                gap = probe - z[members].mean(axis=0)
                densities[name] = len(members) / len(z) * math.exp(-float(gap @ inverse @ gap) / 2)
            found.append({name: one / sum(densities.values()) for name, one in densities.items()})
        return found

    mixed = []
    for probe, own, chances in zip(x, labels, posterior(x), strict=True):
        sure = math.exp(chances[own]) / sum(math.exp(one) for one in chances.values())
        means = [x[classes(labels)[name]].mean(axis=0) for name in names if name != own]
        mixed.append(sure * probe + (1 - sure) * np.mean(means, axis=0))
    last = posterior(np.array(mixed))
    return math.fsum(one[own] for one, own in zip(last, labels, strict=True)) / len(x)


def margins(x: Array, labels: Labels) -> list[float]:
    """Distance to one's own class's other probes' mean less that to the nearest other mean."""
    found = []
    for i, own in enumerate(labels):
        members = [j for j in classes(labels)[own] if j != i]
        to_own = float(np.linalg.norm(x[i] - x[members].mean(axis=0))) if members else math.inf
        others = [m for name, m in classes(labels).items() if name != own]
        found.append(to_own - min(float(np.linalg.norm(x[i] - x[m].mean(axis=0))) for m in others))
    return found


def ncti(x: Array, labels: Labels) -> float:
    """Wang et al. 2023: three signs of neural collapse, each at most 1, from explicit matrices."""
    centred = x - x.mean(axis=0)
    tight = 0.0
    for members in classes(labels).values():
        nuclear = float(np.linalg.norm(centred[members], "nuc"))
        ratio = float(np.linalg.norm(centred[members])) / nuclear if nuclear > 0 else 1.0
        tight += ratio * len(members) / len(x)
    means = np.array([x[members].mean(axis=0) for members in classes(labels).values()])
    means -= means.mean(axis=0)
    simplex = float(np.linalg.norm(means, "nuc") / np.linalg.norm(means))
    nearest = float(np.mean([margin < 0 for margin in margins(x, labels)]))
    return tight + simplex / math.sqrt(len(means) - 1) + nearest


def leep(outputs: Array, labels: Labels) -> float:
    """Nguyen et al. 2020, in loops: the expected empirical predictor of each probe's label."""
    chances = [[math.exp(v) / math.fsum(math.exp(w) for w in row) for v in row] for row in outputs]
    return _mean_log_prediction(chances, labels)


def nce(outputs: Array, labels: Labels) -> float:
    """Tran et al. 2019: minus the empirical conditional entropy, from counts of pairs."""
    pairs = [(y, int(np.argmax(row))) for y, row in zip(labels, outputs, strict=True)]
    total = 0.0
    for pair in set(pairs):
        given = sum(other[1] == pair[1] for other in pairs)
        total += pairs.count(pair) / len(pairs) * math.log(pairs.count(pair) / given)
    return total


def _mean_log_prediction(chances: list[list[float]], labels: Labels) -> float:
    total = 0.0
    for row, own in zip(chances, labels, strict=True):
        expected = 0.0
        for z, chance in enumerate(row):
            mass = math.fsum(other[z] for other in chances)
            own_mass = math.fsum(o[z] for o, y in zip(chances, labels, strict=True) if y == own)
            expected += chance * own_mass / mass
        total += math.log(expected)
    return total / len(labels)


def tlogme(x: Array, boxes: Array, labels: Labels) -> float:
    """Fouquet et al. 2023."""
    return (logme(x, labels) + logme_regression(x, boxes)) / 2


def u_logme(x: Array, boxes: Array, labels: Labels) -> float:
    """Wang et al. 2024, our reading: the box in the four columns of its class."""
    names = sorted(set(labels))
    targets = np.zeros((len(x), 4 * len(names)))
    for i, (box, own) in enumerate(zip(boxes, labels, strict=True)):
        place = 4 * names.index(own)
        targets[i, place : place + 4] = box
    return logme_regression(x, targets)


OBJECT_SCORES = {"tlogme": tlogme, "u_logme": u_logme}

LABEL_SCORES = {
    "knn": knn,
    "logme": logme,
    "h_score": h_score,
    "transrate": transrate,
    "nleep": nleep,
    "parc": parc,
    "parc_zscore": lambda x, labels: parc(zscore(x), labels),
    "gbc": gbc,
    "lfc": lfc,
    "sfda": sfda,
    "ncti": ncti,
}
