"""The two recognisers that guide the choice of donors: dlib's, and a small one of ours that reads dlib's feature maps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import WeightsError
from fo_faceanon.networks.dlib_resnet import load_dlib_resnet
from fo_faceanon.networks.guide_net import MAPS, GuideNet
from fo_faceanon.recognition.align import dlib_chips
from fo_faceanon.weights import require_weight

#: The bundled weights of ours; see ``data/guide.md``.
WEIGHTS = Path(__file__).parents[1] / "data" / "guide.safetensors"
#: Faces that go through the networks at once: bounds memory.
_CHUNK = 32
#: How much our guide's cosine counts beside dlib's where one number is wanted: of 1,800 results for 300 faces held out of the training
#: sets, the sum of the two follows what other recognisers say best at 0.5 (among donors for one face) to 1.1 (among all).
_OURS = 0.7


class Guides:
    """Both guides in one pass. None of the recognisers that judge is among them, and none of those may ever be.

    Args:
        device: where they run.
        weights: a safetensors file other than the bundled one.

    Raises:
        WeightsError: weights are missing or are not these networks'.
    """

    def __init__(self, device: torch.device | str = "cpu", weights: Path = WEIGHTS) -> None:
        self.device = torch.device(device)
        self._dlib = load_dlib_resnet(require_weight("dlib-recognition", "dlib_face_recognition_resnet_model_v1.dat")).to(self.device)
        self._ours = load_guide(weights).to(self.device)

    @torch.inference_mode()
    def embed(self, crops: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of faces: dlib's (*identity*) and ours (*resemblance*), each ``B x 128``; NaN for faces with a NaN landmark.

        Args:
            crops: ``B x 3 x S x S`` in ``[0, 1]``, gamma-encoded RGB.
            landmarks: ``B x 68 x 2`` in pixels of the crops.
        """
        crops, landmarks = crops.to(self.device), landmarks.to(self.device)
        identity, resemblance = crops.new_full((2, len(crops), 128), torch.nan)
        rows = landmarks.isfinite().flatten(1).all(1).nonzero()[:, 0]
        for chunk in rows.split(_CHUNK) if len(rows) else ():
            maps = self._dlib.maps(dlib_chips(crops[chunk], landmarks[chunk]))
            identity[chunk] = F.normalize(self._dlib.describe(maps), dim=1)
            resemblance[chunk] = F.normalize(self._ours([maps[i] for i in MAPS]), dim=1)
        return identity.clone(), resemblance.clone()


def likeness(identity: Tensor, resemblance: Tensor) -> Tensor:
    """One number for how like a face the guides find another, from their cosines (of any one shape)."""
    return identity + _OURS * resemblance


def load_guide(path: Path) -> GuideNet:
    """Our guide's network, ready for inference.

    Raises:
        WeightsError: the file is missing or is not that network's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    net = GuideNet()
    try:
        net.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the guide's weights {path}: {error}; reinstall fo-faceanon") from error
    except RuntimeError as error:
        raise WeightsError(f"{path} does not hold the guide's network: {error}; reinstall fo-faceanon") from error
    return net.to(memory_format=torch.channels_last).eval().requires_grad_(False)


@lru_cache(maxsize=2)
def load_guides(device: str = "cpu") -> Guides:
    """Both guides on a device, loaded once per process."""
    return Guides(device)
