"""Scale-invariant metrics: against a search over the scale, and their invariances."""

import pytest
import torch
from scipy.optimize import minimize_scalar

from fo_faceanon.errors import InputError
from fo_faceanon.metrics.lighting import lighting_metrics, si_l2, si_mse, si_sine


def case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    preds, target = torch.rand(2, 3, 3, 16, 12, generator=generator)
    return preds, target, (torch.rand(3, 1, 16, 12, generator=generator) > 0.4).float()


def test_si_mse_is_the_minimum_over_the_scale():
    preds, target, mask = case()
    ours = si_mse(preds, target, mask)
    for i in range(3):
        inside = mask[i].expand(3, -1, -1) > 0
        p, t = preds[i][inside], target[i][inside]
        best = minimize_scalar(lambda a, p=p, t=t: float((t - a * p).square().mean()))
        assert ours[i].item() == pytest.approx(best.fun, abs=1e-6)
    torch.testing.assert_close(si_l2(preds, target, mask).square(), ours)


def test_scale_does_not_matter_and_the_outside_does_not_count():
    preds, target, mask = case()
    torch.testing.assert_close(si_mse(3 * preds, target, mask), si_mse(preds, target, mask))
    torch.testing.assert_close(si_mse(preds + 5 * (1 - mask), target, mask), si_mse(preds, target, mask))
    assert si_mse(0.2 * target, target, mask).max() < 1e-7
    # the error scales with the target: it is not symmetric, the sine is
    torch.testing.assert_close(si_mse(preds, 2 * target, mask), 4 * si_mse(preds, target, mask))
    torch.testing.assert_close(si_sine(preds, target, mask), si_sine(7 * target, preds, mask))


def test_never_negative_nor_unbounded_where_the_printed_formula_is():
    preds, target, mask = case()
    assert (si_l2(-preds, target, mask) >= 0).all()
    black = torch.zeros_like(preds)
    norm = (target.square() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
    torch.testing.assert_close(si_mse(black, target, mask), norm)
    assert si_sine(black, target, mask).tolist() == [1, 1, 1] and si_sine(black, black, mask).tolist() == [0, 0, 0]


def test_empty_mask_is_nan_for_that_face_only():
    preds, target, mask = case()
    mask[1] = 0
    assert si_mse(preds, target, mask).isnan().tolist() == [False, True, False]
    assert si_sine(preds, target, mask).isnan().tolist() == [False, True, False]


def test_light_from_the_other_side_scores_worse_than_a_dimmer_light():
    ramp = torch.linspace(0.2, 0.9, 64).expand(1, 3, 64, 64)
    mask, size = torch.ones(1, 1, 64, 64), torch.tensor([50.0])
    dimmer = lighting_metrics(ramp * 0.8, ramp, mask, size)
    turned = lighting_metrics(ramp.flip(-1), ramp, mask, size)
    for name in ("si_mse", "shading_si_l2", "shading_sine"):
        assert turned[name] > 3 * dimmer[name]
    assert all(v.isfinite().all() for v in lighting_metrics(ramp * 0, ramp, mask, size).values())


def test_faults_are_named():
    preds, target, mask = case()
    with pytest.raises(InputError, match="same shape"):
        si_mse(preds, target[:, :1], mask)
    with pytest.raises(InputError, match="`mask`"):
        si_mse(preds, target, mask[:, 0])
    with pytest.raises(InputError, match="B x 3 x H x W"):
        lighting_metrics(preds[:, :1], target[:, :1], mask, torch.ones(3))
