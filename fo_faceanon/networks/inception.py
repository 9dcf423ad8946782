"""The Inception network of the Fréchet inception distance: 2,048 pool features of the 2015 ImageNet classifier."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.weights import require_weight

#: Side of the pictures that the network takes, and length of its features.
SIDE, FEATURES = 299, 2048
#: Pictures at once.
_BATCH = 16


class FidInception:
    """Features of pictures, as FID compares them.

    Pictures are brought to 299 px with an antialiased bicubic filter: what is done here changes FID more than many methods do
    (Parmar et al. 2022, "On aliased resizing"), so values are to be compared only with others made here.

    Args:
        device: where the network runs.
        path: of the TorchScript file; None for the registered weight ``fid-inception``.

    Raises:
        WeightsError: the weights are missing (``fo-faceanon weights get fid-inception``), altered or cannot be read.
    """

    def __init__(self, device: str | torch.device = "cpu", path: Path | None = None) -> None:
        self.device = torch.device(device)
        path = path or require_weight("fid-inception")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch would have it exported anew; the file's hash is what counts
                self._network = torch.jit.load(str(path), map_location=self.device).eval()
        except RuntimeError as error:
            raise WeightsError(f"{path} cannot be read as a TorchScript network: {str(error).splitlines()[0]}") from error

    @torch.inference_mode()
    def __call__(self, pictures: Iterable[Tensor]) -> Tensor:
        """Features of pictures of any sizes.

        Args:
            pictures: each ``3 x H x W``, uint8 or in ``[0, 1]``; read one by one, so an iterator may be longer than memory.

        Returns:
            ``N x 2048`` float32 on the CPU.
        """
        features, waiting = [], []
        for picture in pictures:
            waiting.append(_resized(picture.to(self.device)))
            if len(waiting) == _BATCH:
                features.append(self._run(waiting))
                waiting = []
        if waiting:
            features.append(self._run(waiting))
        return torch.cat(features) if features else torch.zeros(0, FEATURES)

    def _run(self, pictures: list[Tensor]) -> Tensor:
        return self._network(torch.stack(pictures) * 2 - 1).float().cpu()


def _resized(picture: Tensor) -> Tensor:
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise InputError(f"a picture must have shape 3 x H x W, but got {tuple(picture.shape)}")
    values = picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
    if values.shape[-2:] == (SIDE, SIDE):
        return values
    return F.interpolate(values[None], (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)
