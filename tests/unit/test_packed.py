"""Fused convolutions give what the steps give, whatever has happened to their weights since."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fo_faceanon.networks.packed import convolve


def _norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels).eval()
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(value, 0.5, 1.5)  # type: ignore[arg-type]
    return norm


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("normed", [False, True])
def test_fused_is_the_steps(relu: bool, add: bool, normed: bool) -> None:
    conv, norm = nn.Conv2d(5, 8, 3, 2, 1, bias=not normed), _norm(8) if normed else None
    x, other = torch.randn(2, 5, 19, 12), torch.randn(2, 8, 10, 6) if add else None
    with torch.inference_mode():
        y = conv(x) if norm is None else norm(conv(x))
        y = y if other is None else y + other
        assert torch.allclose(convolve(conv, x, norm, relu, other), F.relu(y) if relu else y, atol=1e-5)


def test_changed_weights_are_packed_again() -> None:
    conv, norm, x = nn.Conv2d(3, 4, 3), _norm(4), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        convolve(conv, x, norm)
    conv.load_state_dict(nn.Conv2d(3, 4, 3).state_dict())
    with torch.inference_mode():
        assert torch.allclose(convolve(conv, x, norm), norm(conv(x)), atol=1e-5)
    with torch.no_grad():
        norm.running_mean.add_(1)  # type: ignore[union-attr]
    with torch.inference_mode():
        assert torch.allclose(convolve(conv, x, norm), norm(conv(x)), atol=1e-5)


def test_outside_of_inference_it_can_be_learnt_through() -> None:
    conv, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).train()
    convolve(conv, torch.randn(2, 3, 8, 8), norm, relu=True).sum().backward()
    assert conv.weight.grad is not None and norm.num_batches_tracked == 1


def test_networks_made_in_inference_mode_work_unfused() -> None:
    with torch.inference_mode():
        conv, norm, x = nn.Conv2d(3, 4, 3), _norm(4), torch.randn(1, 3, 8, 8)
        assert torch.equal(convolve(conv, x, norm), norm(conv(x)))
