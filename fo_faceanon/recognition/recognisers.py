"""Face recognisers behind one interface: windows and landmarks in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.recognition import align

#: Faces that one forward pass takes: bounds memory.
_CHUNK = 32
#: A network as a function of aligned chips in ``[0, 1]``.
Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class RecogniserSpec:
    """What is known of a recogniser before its weights are read.

    ``guide_allowed`` is true for the one recogniser that methods may consult to choose a donor; all others only judge.
    """

    name: str
    file: str
    licence: str
    size: int
    dim: int
    guide_allowed: bool
    chips: Callable[[Tensor, Tensor], Tensor]
    load: Callable[[Path, torch.device], Network]
    weight: str | None = None  # where the weight file is registered under another name


def _load_dlib(path: Path, device: torch.device) -> Network:
    from fo_faceanon.networks.dlib_resnet import load_dlib_resnet

    return load_dlib_resnet(path).to(device)


def _load_facenet(path: Path, device: torch.device) -> Network:
    from fo_faceanon.recognition.facenet import load_facenet

    network = load_facenet(path).to(device)
    return lambda chips: network((chips * 255 - 127.5) / 128)


def _load_onnx(path: Path, device: torch.device) -> Network:
    """An ArcFace-like ONNX network on the CPU, RGB scaled to ``[-1, 1]``; its output goes back to ``device``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises several unrelated classes
        raise WeightsError(f"{path} cannot be read as an ONNX network ({error}); fetch the file again") from error
    name = session.get_inputs()[0].name

    def network(chips: Tensor) -> Tensor:
        values = ((chips * 255 - 127.5) / 127.5).cpu().numpy()
        rows = [session.run(None, {name: value[None]})[0] for value in values]  # these graphs hold a batch of one
        return torch.from_numpy(np.concatenate(rows)).to(device)

    return network


_SPECS = (
    RecogniserSpec(
        "dlib", "dlib_face_recognition_resnet_model_v1.dat", "CC0-1.0", 150, 128, True,
        align.dlib_chips, _load_dlib, weight="dlib-recognition",
    ),
    RecogniserSpec(
        "facenet-vggface2", "graph_final.pb", "MIT; training data research only", 160, 512, False, align.facenet_chips, _load_facenet
    ),
    RecogniserSpec(
        "facenet-casia", "graph_final.pb", "MIT; training data research only", 160, 512, False, align.facenet_chips, _load_facenet
    ),
    RecogniserSpec(
        "arcface-w600k-mbf", "w600k_mbf.onnx", "non-commercial (InsightFace)", 112, 512, False, align.arcface_chips, _load_onnx
    ),
    RecogniserSpec("edgeface-s", "edgeface_s_gamma_05.onnx", "BSD-3-Clause upstream", 112, 512, False, align.arcface_chips, _load_onnx),
    RecogniserSpec("mobilefacenet", "fr_feature.onnx", "MIT", 112, 512, False, align.arcface_chips, _load_onnx),
)  # fmt: skip


def recogniser_spec(name: str) -> RecogniserSpec:
    """The specification of the recogniser called ``name``.

    Raises:
        InputError: if there is none, with the names that there are.
    """
    for spec in _SPECS:
        if spec.name == name:
            return spec
    raise InputError(f"there is no recogniser {name!r}; the recognisers are {', '.join(s.name for s in _SPECS)}")


def recogniser_names() -> list[str]:
    """All recognisers, whether or not their weights are here."""
    return [spec.name for spec in _SPECS]


class NetworkRecogniser:
    """A recogniser that aligns, runs its network in bounded chunks, and normalizes.

    Args:
        spec: which one.
        network: the loaded network.
        threshold: cosine at a false-accept rate of 1e-3.
        device: where inputs go.
    """

    def __init__(self, spec: RecogniserSpec, network: Network, threshold: float, device: torch.device) -> None:
        self.name, self.licence, self.size, self.dim = spec.name, spec.licence, spec.size, spec.dim
        self.guide_allowed, self.threshold = spec.guide_allowed, threshold
        self._align, self._network, self._device = spec.chips, network, device

    @torch.inference_mode()
    def embed(self, crops: Tensor, landmarks: Tensor) -> Tensor:
        """Unit identity vectors of faces.

        Args:
            crops: ``B x 3 x S x S`` in ``[0, 1]``, gamma-encoded RGB.
            landmarks: ``B x 68 x 2`` in pixels of the crops.

        Returns:
            ``B x dim``, L2-normalized, on the recogniser's device; NaN for faces with a NaN landmark. A face's vector does
            not depend on the other faces of the batch beyond rounding.

        Raises:
            InputError: the shapes do not fit.
        """
        if crops.ndim != 4 or crops.shape[1] != 3 or landmarks.shape != (len(crops), 68, 2):
            shapes = f"{tuple(crops.shape)} and {tuple(landmarks.shape)}"
            raise InputError(f"{self.name} needs crops of shape (B, 3, S, S) and landmarks of shape (B, 68, 2), but got {shapes}")
        crops, landmarks = crops.to(self._device), landmarks.to(self._device)
        vectors = crops.new_full((len(crops), self.dim), torch.nan)
        rows = landmarks.isfinite().flatten(1).all(1).nonzero()[:, 0]
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            chips = self._align(crops[chunk], landmarks[chunk])
            vectors[chunk] = F.normalize(self._network(chips), dim=1)
        return vectors.clone()
