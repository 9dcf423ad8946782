"""Convolutions for inference on a CPU: normalization folded, weights packed once, addition and ReLU in the same pass.

What torch.compile generates for a CPU, without a compiler: oneDNN repacks a convolution's weights in every call, which for one small
image costs as much as the sums, and each further step is a pass over memory.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

#: Per convolution: the state of what it was packed from, its packed weights, and its bias.
_PACKED: WeakKeyDictionary[nn.Conv2d, tuple[tuple[int, ...], Tensor, Tensor | None]] = WeakKeyDictionary()
_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def convolve(conv: nn.Conv2d, x: Tensor, norm: nn.BatchNorm2d | None = None, relu: bool = False, add: Tensor | None = None) -> Tensor:
    """``relu(norm(conv(x)) + add)``; what is None or false is left out.

    Fused on a CPU in inference mode, where the result differs by rounding; step by step, and differentiable, everywhere else.

    Args:
        conv: without groups or dilation, padded by zeros.
        x: ``B x C x H x W``; fastest in the ``channels_last`` format.
        norm: in evaluation mode, or nothing is fused.
        relu: whether to.
        add: of the output's shape.
    """
    if not _fusable(conv, x, norm):
        y = conv(x) if norm is None else norm(conv(x))
        y = y if add is None else y + add
        return F.relu(y) if relu else y
    weight, bias = _pack(conv, norm, x)
    run, shape = torch.ops.mkldnn._convolution_pointwise, (conv.padding, conv.stride, conv.dilation, conv.groups)
    after = "relu" if relu else "none"
    if add is None:
        return run(x, weight, bias, *shape, after, [], "")
    return run.binary(x, add, weight, bias, *shape, "add", None, after if relu else None, [], "")


def convolve_first(layers: nn.Sequential, x: Tensor, relu: bool = False) -> Tensor:
    """The same for a sequence that starts with a convolution and its normalization."""
    conv, norm = layers[0], layers[1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return convolve(conv, x, norm, relu)


def _fusable(conv: nn.Conv2d, x: Tensor, norm: nn.BatchNorm2d | None) -> bool:
    here = _AVAILABLE and x.device.type == "cpu" and x.dtype == torch.float32 and torch.is_inference_mode_enabled()
    return here and not (norm is not None and norm.training) and not any(part.is_inference() for part in _parts(conv, norm))


def _parts(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> list[Tensor]:
    """What a packed weight is made of. Tensors born in inference mode would not tell when they change: those are not packed."""
    parts = [conv.weight, conv.bias]
    if norm is not None:
        parts += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    return [part for part in parts if part is not None]


def _pack(conv: nn.Conv2d, norm: nn.BatchNorm2d | None, x: Tensor) -> tuple[Tensor, Tensor | None]:
    state = tuple(value for part in _parts(conv, norm) for value in (part.data_ptr(), part._version))
    known = _PACKED.get(conv)
    if known is not None and known[0] == state:
        return known[1], known[2]
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if norm is not None:
        assert norm.running_mean is not None and norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    packed = torch.ops.mkldnn._reorder_convolution_weight(
        weight.detach(), conv.padding, conv.stride, conv.dilation, conv.groups, list(x.shape)
    )
    _PACKED[conv] = state, packed, bias
    return packed, bias
