"""What a face shows that its replacement must keep: expression, pose, age, sex, glasses; from one small bundled network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import apply_affine, estimate_similarity, warp_affine
from fo_faceanon.networks.attributes import AGE_ORIGIN, AGE_UNIT, CROP_SIDE, HEADS, POSE_UNIT, AttributeCNN, split_heads

#: The bundled weights; see ``data/attributes.md``.
WEIGHTS = Path(__file__).parent / "data" / "attributes.safetensors"
#: Faces that go through the network at once.
BATCH = 64
_PAIRED = (
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide",
    "jaw", "mouthDimple", "mouthFrown", "mouth", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
_SINGLE = (
    "_neutral", "browInnerUp", "cheekPuff", "jawForward", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
)  # fmt: skip
#: Names of the 52 blendshapes (ARKit's, in MediaPipe's order: alphabetical). Left and right are the person's own.
BLENDSHAPES: tuple[str, ...] = tuple(sorted(_SINGLE + tuple(name + side for name in _PAIRED for side in ("Left", "Right"))))


@dataclass(slots=True)
class FaceAttributes:
    """Attributes of ``B`` faces; NaN where a face had no landmarks.

    Args:
        blendshapes: ``B x 52`` in ``[0, 1]``, named by :data:`BLENDSHAPES`.
        pose: ``B x 3`` degrees in the image: yaw (positive: nose to image right), pitch (positive: up), roll (positive: clockwise).
        age: ``B`` apparent age in years.
        male: ``B`` probability that the face looks male to the people who labelled the training pictures.
        glasses: ``B`` probability of glasses of any kind.
        sunglasses: ``B`` probability of glasses that hide the eyes.
        occluded: ``B`` probability that hair, a hat or a hand covers part of brows or face.
        beard: ``B`` probability of a beard or moustache; stubble is undecided.
        expression: ``B x E`` for matching: the blendshapes that the network can tell, standardised over its training faces, so that
            Euclidean distances compare expressions.
    """

    blendshapes: Tensor
    pose: Tensor
    age: Tensor
    male: Tensor
    glasses: Tensor
    sunglasses: Tensor
    occluded: Tensor
    beard: Tensor
    expression: Tensor

    def __len__(self) -> int:
        return self.pose.shape[0]


class AttributeNet:
    """The bundled attribute network on one device.

    Args:
        device: where it runs; inputs are moved there, outputs stay there.
        weights: a safetensors file other than the bundled one.

    Raises:
        WeightsError: the file is missing or is not this network's.
    """

    def __init__(self, device: str | torch.device = "cpu", weights: Path = WEIGHTS) -> None:
        self.device = torch.device(device)
        tensors = _load(weights)
        self.index = tensors.pop("expression.index").long().to(self.device)
        self.mean = tensors.pop("expression.mean").to(self.device)
        self.std = tensors.pop("expression.std").to(self.device)
        self.net = AttributeCNN()
        try:
            self.net.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(f"{weights} does not hold the attribute network: {error}; reinstall fo-faceanon") from error
        self.net.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, crops: Tensor, landmarks: Tensor) -> FaceAttributes:
        """Attributes of faces.

        Args:
            crops: ``B x 3 x H x W`` in ``[0, 1]``, gamma-encoded sRGB, any size.
            landmarks: ``B x 68 x 2`` pixel positions in the crops (iBUG order); any NaN makes that face's outputs NaN.

        Raises:
            InputError: the shapes do not fit.
        """
        if crops.ndim != 4 or crops.shape[1] != 3 or landmarks.shape != (crops.shape[0], 68, 2):
            raise InputError(
                f"attributes need crops B x 3 x H x W and landmarks B x 68 x 2, but got {tuple(crops.shape)} and {tuple(landmarks.shape)}"
            )
        crops = crops.to(self.device, torch.float32)
        landmarks = landmarks.to(self.device, torch.float32)
        known = landmarks.isfinite().all((1, 2))
        template = self.net.template
        landmarks = torch.where(known[:, None, None], landmarks, template)
        matrix = estimate_similarity(landmarks, template)
        raw = crops.new_zeros(len(crops), sum(HEADS.values()))
        for rows in torch.arange(len(crops), device=self.device).split(BATCH) if len(crops) else ():
            raw[rows] = self.net(self.align(crops[rows], matrix[rows]), apply_affine(matrix[rows], landmarks[rows]))
        return self._describe(torch.where(known[:, None], raw, torch.nan), matrix)

    def align(self, crops: Tensor, matrix: Tensor) -> Tensor:
        """``B x 3 x 80 x 80`` network inputs. Faces are grouped by their own reduction, so no face depends on its neighbours."""
        scale = matrix[:, 0, :2].norm(dim=-1).clamp_min(1e-4)
        factor = (1.0 / scale).int().clamp(1, 64)
        out = crops.new_empty(len(crops), 3, CROP_SIDE, CROP_SIDE)
        for value in factor.unique().tolist():
            chosen = factor == value
            out[chosen] = warp_affine(crops[chosen], matrix[chosen], CROP_SIDE)
        return out

    def _describe(self, raw: Tensor, matrix: Tensor) -> FaceAttributes:
        heads = split_heads(raw)
        blendshapes = heads["blendshapes"].sigmoid()
        pose = heads["pose"] * POSE_UNIT
        turn = torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))  # the crop was turned by this much
        pose = torch.stack([pose[:, 0], pose[:, 1], (pose[:, 2] - turn + 180) % 360 - 180], 1)
        return FaceAttributes(
            blendshapes=blendshapes,
            pose=pose,
            age=(heads["age"][:, 0] * AGE_UNIT + AGE_ORIGIN).clamp(0, 100),
            male=heads["male"][:, 0].sigmoid(),
            glasses=heads["glasses"][:, 0].sigmoid(),
            sunglasses=heads["sunglasses"][:, 0].sigmoid(),
            occluded=heads["occluded"][:, 0].sigmoid(),
            beard=heads["beard"][:, 0].sigmoid(),
            expression=(blendshapes[:, self.index] - self.mean) / self.std,
        )


def _load(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the attribute network's weights {path}: {error}; reinstall fo-faceanon") from error
    missing = {"expression.index", "expression.mean", "expression.std"} - tensors.keys()
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(sorted(missing))}: it is not the attribute network's file; reinstall fo-faceanon")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
