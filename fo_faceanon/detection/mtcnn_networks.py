"""The three networks of MTCNN, from the facenet-pytorch package, with a faster maximum pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.errors import WeightsError
from fo_faceanon.weights import require_weight


class MaxPool(nn.Module):
    """``nn.MaxPool2d(kernel, stride=2, ceil_mode=True)``, bit for bit, by whole-array maxima.

    On a CPU the original takes more than half of the time of MTCNN's networks.

    Args:
        kernel: 2 or 3.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """``B x C x H x W`` (at least ``kernel`` on each side) to half of the size, rounded up."""
        return self._along(self._along(x, -2), -1)

    def _along(self, x: Tensor, dim: int) -> Tensor:
        size = x.shape[dim]
        out = -(-(size - self.kernel) // 2) + 1
        missing = 2 * (out - 1) + self.kernel - size
        if missing:
            x = F.pad(x, (0, 0, 0, missing) if dim == -2 else (0, missing), value=float("-inf"))
        stop = 2 * out - 1
        taps = [x[..., i : i + stop : 2, :] if dim == -2 else x[..., i : i + stop : 2] for i in range(self.kernel)]
        result = torch.maximum(taps[0], taps[1])
        return torch.maximum(result, taps[2]) if self.kernel == 3 else result


class ConvolvedPool(nn.Module):
    """A 3 x 3 convolution, PReLU and 2 x 2 maximum pooling that rounds up, as one convolution of stride 2.

    It makes the four pixels of each pooling cell as four groups of channels: a network's first convolution has too few channels
    to fill a processor's vectors, and the pooling turns into a maximum of contiguous planes. Up to a third off their time on a CPU.

    Args:
        conv: the convolution, without padding.
        act: its activation.
    """

    weight: Tensor
    bias: Tensor
    slope: Tensor

    def __init__(self, conv: nn.Conv2d, act: nn.PReLU) -> None:
        super().__init__()
        outputs, inputs = conv.weight.shape[:2]
        weight = conv.weight.new_zeros(4, outputs, inputs, 4, 4)
        for cell in range(4):
            y, x = divmod(cell, 2)
            weight[cell, :, :, y : y + 3, x : x + 3] = conv.weight
        assert conv.bias is not None
        self.register_buffer("weight", weight.flatten(0, 1).detach().clone())
        self.register_buffer("bias", conv.bias.detach().repeat(4))
        self.register_buffer("slope", act.weight.detach().repeat(4))

    def forward(self, x: Tensor) -> Tensor:
        """``B x C x H x W`` (at least 3 on each side) to ``B x C' x ceil((H - 2) / 2) x ceil((W - 2) / 2)``."""
        tall, wide = x.shape[-2] % 2, x.shape[-1] % 2
        if tall or wide:
            x = F.pad(x, (0, wide, 0, tall))
        cells = F.prelu(F.conv2d(x, self.weight, self.bias, 2), self.slope).unflatten(1, (4, -1))
        if wide:  # the last column's cells have one pixel only
            cells[:, 1::2, :, :, -1] = -torch.inf
        if tall:
            cells[:, 2:, :, -1] = -torch.inf
        pairs = torch.maximum(cells[:, :2], cells[:, 2:])
        return torch.maximum(pairs[:, 0], pairs[:, 1])


def load_networks(device: torch.device) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The proposal, refinement and output networks (PNet, RNet, ONet) in evaluation mode.

    Raises:
        WeightsError: a weight file is missing or altered.
    """
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    networks: list[nn.Module] = []
    for kind, file in ((PNet, "pnet.pt"), (RNet, "rnet.pt"), (ONet, "onet.pt")):
        network = kind(pretrained=False)
        path = require_weight("mtcnn", file)
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:
            raise WeightsError(f"{path} is not the MTCNN weight file that facenet-pytorch ships; reinstall facenet-pytorch") from error
        for name, module in list(network.named_children()):
            if isinstance(module, nn.MaxPool2d):
                setattr(network, name, MaxPool(3 if module.kernel_size == 3 else 2))
        if isinstance(network, PNet):
            network.conv1, network.prelu1, network.pool1 = ConvolvedPool(network.conv1, network.prelu1), nn.Identity(), nn.Identity()
        networks.append(network.eval().requires_grad_(False).to(device))
    return networks[0], networks[1], networks[2]
