"""Features that are kept: as they are, or in a sketch whose inner products are theirs."""

from __future__ import annotations

import numpy as np
import torch

from depara.extraction.vectors import KeptVectors
from depara.store.outputs import MOST_CELLS

RNG = np.random.default_rng(0)


def kept(features_ND: np.ndarray, *, batch: int = 3) -> np.ndarray:
    vectors = KeptVectors(*features_ND.shape)
    for start in reversed(range(0, len(features_ND), batch)):
        vectors.write(start, torch.from_numpy(features_ND[start : start + batch]))
    return vectors.values_NC


def test_up_to_4096_features_are_kept_as_they_are():
    features = RNG.standard_normal((7, MOST_CELLS)).astype(np.float32)
    np.testing.assert_array_equal(kept(features), features)


def test_more_are_sketched_the_same_way_in_any_batch_and_scan():
    features = RNG.standard_normal((7, 20_000)).astype(np.float32)
    sketch = kept(features)
    assert sketch.shape == (7, MOST_CELLS)
    np.testing.assert_array_equal(sketch[2:4], kept(features[2:4], batch=1))
    doubled = kept(2 * features)
    np.testing.assert_allclose(doubled, 2 * sketch, rtol=1e-6)


def test_inner_products_of_sketches_are_as_near_as_they_say():
    features = RNG.standard_normal((60, 20_000)).astype(np.float32)
    features[:30] += 0.5
    sketch, exact = kept(features).astype(np.float64), features.astype(np.float64)
    products, norms = exact @ exact.T, np.linalg.norm(exact, axis=1)
    variance = (np.outer(norms**2, norms**2) + products**2) / MOST_CELLS
    errors = ((sketch @ sketch.T - products) / np.sqrt(variance))[np.triu_indices(60)]
    assert abs(errors.mean()) < 0.3
    assert 0.5 < np.sqrt(np.mean(errors**2)) < 1.2
