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
        networks.append(network.eval().requires_grad_(False).to(device))
    return networks[0], networks[1], networks[2]
