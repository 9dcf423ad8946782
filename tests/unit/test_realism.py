from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.metrics.realism import fid, kid
from fo_faceanon.networks.inception import FidInception, _resized
from fo_faceanon.weights import find_weight


def features(count: int, width: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((width, width)) / width**0.5
    return torch.from_numpy(np.maximum(random.standard_normal((count, width)) @ mixing + shift, 0))


def reference_fid(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.linalg import sqrtm

    cov = [np.cov(x, rowvar=False) for x in (a, b)]
    root = np.real(sqrtm(cov[0] @ cov[1]))
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov[0] + cov[1] - 2 * root))


def test_fid_is_that_of_the_matrix_square_root() -> None:
    a, b = features(300, 40, 1), features(200, 40, 2, shift=0.3)
    found = fid(a, b)
    assert found.value == pytest.approx(reference_fid(a.numpy(), b.numpy()), rel=1e-6)
    assert (found.preds, found.target, found.standard_error) == (300, 200, None)
    assert fid(b, a).value == pytest.approx(found.value, rel=1e-9)


def test_fid_with_fewer_pictures_than_features() -> None:
    a, b = features(30, 64, 1), features(25, 64, 2, shift=0.3)
    jitter = 1e-10 * np.eye(64)  # the reference needs it, ours does not
    from scipy.linalg import sqrtm

    cov = [np.cov(x.numpy(), rowvar=False) for x in (a, b)]
    half = np.real(sqrtm(cov[0] + jitter))
    root = np.real(sqrtm(half @ cov[1] @ half + jitter))
    expected = np.square((a.mean(0) - b.mean(0)).numpy()).sum() + np.trace(cov[0]) + np.trace(cov[1]) - 2 * np.trace(root)
    assert fid(a, b).value == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("count", [20, 100])
def test_fid_of_a_set_with_itself_is_zero(count: int) -> None:
    a = features(count, 50, 1)
    assert fid(a, a).value == pytest.approx(0, abs=1e-9)
    assert fid(a, a.flip(0)).value == pytest.approx(0, abs=1e-9)
    constant = torch.ones(5, 50)
    assert fid(constant, constant).value == 0


def test_kid_is_the_unbiased_discrepancy() -> None:
    a, b = features(40, 16, 1), features(30, 16, 2, shift=0.5)
    kernel = [((x.numpy() @ y.numpy().T) / 16 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
    expected = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernel[:2]) - 2 * kernel[2].mean()
    assert kid(a, b).value == pytest.approx(float(expected), rel=1e-9)


def test_kid_of_pictures_made_from_each_other_leaves_their_own_pairs_out() -> None:
    draws = []
    for seed in range(20):
        original = features(60, 24, seed)
        draws.append((kid(original + 1e-3, original, paired=True), kid(original + 1e-3, original)))
    paired, unpaired = np.array([(p.value, u.value) for p, u in draws]).T
    assert np.abs(paired).max() < 0.01 and unpaired.max() < -0.02
    with pytest.raises(InputError, match="one size"):
        kid(features(60, 24, 0), features(50, 24, 0), paired=True)


@pytest.mark.parametrize(("shift", "most"), [(0.0, 3.0), (0.4, 1.4)])  # where the sets are alike, the error is on the safe side
def test_kid_is_unbiased_and_its_error_is_that_of_repeated_draws(shift: float, most: float) -> None:
    pairs = [kid(features(120, 24, 2 * s, shift), features(120, 24, 2 * s + 1)) for s in range(40)]
    values = np.array([p.value for p in pairs])
    errors = np.array([p.standard_error for p in pairs])
    assert 0.7 < errors.mean() / values.std() < most
    assert (abs(values.mean()) < 3 * values.std() / len(values) ** 0.5) == (shift == 0)


def test_what_does_not_fit_is_refused() -> None:
    a = features(10, 8, 0)
    for metric in (fid, kid):
        with pytest.raises(InputError, match="N x D"):
            metric(a, features(10, 9, 0))
        with pytest.raises(InputError, match="two pictures"):
            metric(a, a[:1])
        with pytest.raises(InputError, match="not finite"):
            metric(a, a.log().log())


def test_pictures_are_resized_without_aliasing() -> None:
    stripes = torch.zeros(3, 598, 598)
    stripes[:, ::2] = 1
    assert (_resized(stripes)[:, 2:-2] - 0.5).abs().max() < 0.02
    exact = torch.randint(0, 256, (3, 299, 299), dtype=torch.uint8)
    assert torch.equal(_resized(exact), exact.float() / 255)
    with pytest.raises(InputError, match="3 x H x W"):
        _resized(torch.zeros(1, 20, 20))


def test_missing_or_wrong_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.pt").write_bytes(b"PK not a network")
    with pytest.raises(WeightsError, match=r"other\.pt cannot be read"):
        FidInception(path=tmp_path / "other.pt")
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="fo-faceanon weights get fid-inception"):
        FidInception()


@pytest.mark.skipif(find_weight("fid-inception") is None, reason="fo-faceanon weights get fid-inception")
def test_features_do_not_depend_on_the_batch_and_tell_pictures_apart() -> None:
    network = FidInception()
    photograph = torch.from_numpy(astronaut()).permute(2, 0, 1)
    noise = torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(0))
    both = network([photograph, noise])
    assert both.shape == (2, 2048) and torch.allclose(network([photograph])[0], both[0], atol=1e-4)
    mirrored = network([photograph.flip(-1)])[0]
    assert (mirrored - both[0]).norm() < 0.7 * (both[1] - both[0]).norm()
    assert network([]).shape == (0, 2048)
