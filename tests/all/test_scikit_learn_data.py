"""The real data sets, compared with scikit-learn's.

`make test-all` puts scikit-learn into a folder of its own. In .venv it would slow every start down:
it brings scipy, which torchmetrics imports wherever it is there.
"""

import numpy as np
import pytest

from stepsize.data.real import read


@pytest.mark.parametrize(
    ("name", "options"), [("diabetes", {"scaled": False}), ("breast_cancer", {}), ("digits", {})]
)
def test_the_files_are_scikit_learns_data(name, options):
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn: make test-all")
    features, target = getattr(datasets, f"load_{name}")(return_X_y=True, **options)
    x, y = read(name)
    np.testing.assert_array_equal(x, features)
    np.testing.assert_array_equal(y, target)
