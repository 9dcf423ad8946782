"""FaceNet (Schroff et al. 2015) as InceptionResnetV1, from the frozen graphs that registry packages carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fo_faceanon.errors import WeightsError
from fo_faceanon.recognition.graphdef import read_graph_constants

_ROOT = "InceptionResnetV1/"
_STEM = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3", "4b_3x3")


def _blocks() -> Iterator[tuple[str, str]]:
    """Names of the inception blocks: in facenet_pytorch, and in the graph."""
    for name, scope, count in (("repeat_1", "Repeat/block35", 5), ("repeat_2", "Repeat_1/block17", 10), ("repeat_3", "Repeat_2/block8", 5)):
        yield from ((f"{name}.{i}", f"{scope}_{i + 1}") for i in range(count))
    yield from (("mixed_6a", "Mixed_6a"), ("mixed_7a", "Mixed_7a"), ("block8", "Block8"))


class _Loader:
    """Copies constants of a graph into modules of facenet_pytorch."""

    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self.constants = constants

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.constants[_ROOT + name].copy())

    def copy(self, parameter: nn.Parameter, value: Tensor) -> None:
        if parameter.shape != value.shape:
            raise ValueError(f"a constant has shape {tuple(value.shape)} where {tuple(parameter.shape)} is needed")
        parameter.data = value.contiguous()

    def kernel(self, scope: str) -> Tensor:
        return self.tensor(f"{scope}/weights").permute(3, 2, 0, 1)

    def folded(self, module: nn.Module, scope: str) -> None:
        """A convolution whose batch normalization the graph has folded into a bias."""
        self.copy(module.conv.weight, self.kernel(scope))  # type: ignore[union-attr, arg-type]
        module.conv.bias = nn.Parameter(self.tensor(f"{scope}/Conv2D_bn_offset"))  # type: ignore[union-attr]
        module.bn = nn.Identity()

    def block(self, block: nn.Module, scope: str) -> None:
        for index in range(4):
            branch = getattr(block, f"branch{index}", nn.Identity())
            modules = [m for m in branch.modules() if hasattr(m, "conv")]
            prefix = f"{_ROOT}{scope}/Branch_{index}/"  # names sort in the order of execution: 0a, 0b, 0c, 1a
            names = sorted(n for n in self.constants if n.startswith(prefix) and n.endswith("/weights"))
            for module, name in zip(modules, names, strict=True):
                self.folded(module, name.removeprefix(_ROOT).removesuffix("/weights"))
        if hasattr(block, "conv2d"):
            self.copy(block.conv2d.weight, self.kernel(f"{scope}/Conv2d_1x1"))  # type: ignore[union-attr, arg-type]
            self.copy(block.conv2d.bias, self.tensor(f"{scope}/Conv2d_1x1/biases"))  # type: ignore[union-attr, arg-type]

    def head(self, network: nn.Module) -> None:
        self.copy(network.last_linear.weight, self.tensor("Bottleneck/weights").T)  # type: ignore[union-attr, arg-type]
        norm, scope = network.last_bn, "Bottleneck/BatchNorm"
        names = (("weight", "Const"), ("bias", "beta"), ("running_mean", "moving_mean"), ("running_var", "moving_variance"))
        for ours, theirs in names:
            getattr(norm, ours).data.copy_(self.tensor(f"{scope}/{theirs}"))


def load_facenet(path: str | Path) -> nn.Module:
    """InceptionResnetV1 for inference: ``B x 3 x 160 x 160`` RGB in ``[-1, 1]`` to unit vectors ``B x 512``.

    Args:
        path: a frozen graph in which batch normalization is folded into the convolutions.

    Raises:
        WeightsError: the file is not such a graph.
    """
    from facenet_pytorch import InceptionResnetV1

    network = InceptionResnetV1(pretrained=None)
    loader = _Loader(read_graph_constants(path))
    try:
        for name in _STEM:
            loader.folded(getattr(network, f"conv2d_{name[:2]}"), f"Conv2d_{name}")
        for ours, theirs in _blocks():
            loader.block(network.get_submodule(ours), theirs)
        loader.head(network)
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a FaceNet InceptionResnetV1 graph ({error}); fetch the file again") from error
    return network.eval().requires_grad_(False)
