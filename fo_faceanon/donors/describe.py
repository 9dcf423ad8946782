"""What is known about a face for matching: one description, computed the same way for donors and for originals."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.attributes import BLENDSHAPES, AttributeNet
from fo_faceanon.donors.guides import load_guides
from fo_faceanon.faces import apply_affine, estimate_similarity, warp_affine
from fo_faceanon.photometry.color import rgb_to_lab

#: How much a blendshape counts for likeness of expression, by the start of its name; 1 for all others.
_EXPRESSION = {"eyeLook": 0.5, "mouthSmile": 1.5, "jawOpen": 1.8, "mouthUpperUp": 1.4, "eyeBlink": 1.5, "browDown": 1.3, "mouthPucker": 1.3}
#: Side of the aligned picture in which light and skin colour are read, in pixels.
_LIGHT_SIDE = 48
#: Cells of the light grid along each side.
LIGHT_CELLS = 6


@dataclass(slots=True)
class Description:
    """``B`` faces described for selection; every field's first dimension is B.

    ``shape``: ``B x 136`` landmarks normalised for position, scale and roll, in inter-ocular distances.
    ``expression``: ``B x E`` standardised blendshapes, weighted. ``pose``: ``B x 3`` degrees (yaw, pitch, roll).
    ``age``: ``B`` years. ``male``, ``beard``, ``glasses``, ``occluded``: ``B`` in ``[0, 1]``.
    ``light``: ``B x (6*6*3)`` blurred CIE L*a*b* in the face's frame. ``skin``: ``B x 3`` mean L*a*b* of cheeks and nose.
    ``identity``: ``B x 128`` unit vectors of dlib's recogniser. ``resemblance``: ``B x 128``
    unit vectors of our own guide (:class:`~fo_faceanon.donors.guides.Guides`).
    """

    shape: Tensor
    expression: Tensor
    pose: Tensor
    age: Tensor
    male: Tensor
    beard: Tensor
    glasses: Tensor
    occluded: Tensor
    light: Tensor
    skin: Tensor
    identity: Tensor
    resemblance: Tensor

    def __len__(self) -> int:
        return self.shape.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Description:
        return Description(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: torch.device | str) -> Description:
        """The same description in float32 on another device."""
        return Description(**{f.name: getattr(self, f.name).to(device, torch.float32) for f in fields(self)})

    def mirrored(self, landmarks: Tensor, expression_order: Tensor) -> Description:
        """Descriptions of the mirrored pictures.

        Args:
            landmarks: ``B x 68 x 2`` of the mirrored pictures, in any frame.
            expression_order: for each blendshape, the index of its counterpart on the other side of the face.
        """
        rows = self.light.shape[0]
        return replace(
            self,
            shape=normalised_shape(landmarks),
            expression=self.expression[:, expression_order],
            pose=self.pose * self.pose.new_tensor([-1.0, 1.0, -1.0]),
            light=self.light.view(rows, 3, LIGHT_CELLS, LIGHT_CELLS).flip(-1).reshape(rows, -1),
        )

    @staticmethod
    def cat(parts: list[Description]) -> Description:
        """Several descriptions in one."""
        return Description(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Description)})


def eye_centres(landmarks: Tensor) -> Tensor:
    """``B x 2 x 2``: the centres of the eye on the left and on the right of the picture, from ``B x 68 x 2``."""
    return torch.stack([landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)], 1)


def spread_of(landmarks: Tensor) -> Tensor:
    """``B``: root mean squared distance of ``B x N x 2`` landmarks from their centre."""
    return (landmarks - landmarks.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt().clamp_min(1e-3)


def normalised_shape(landmarks: Tensor) -> Tensor:
    """``B x 136``: landmarks in inter-ocular distances around their centre, with the roll of the eyes removed."""
    eyes = eye_centres(landmarks)
    unit = landmarks.new_tensor([[-0.5, 0.0], [0.5, 0.0]])
    aligned = apply_affine(estimate_similarity(eyes, unit), landmarks)
    # A profile has eyes close together: normalise by the overall size too, so that it is not blown up.
    spread = spread_of(aligned)
    return ((aligned - aligned.mean(1, keepdim=True)) / spread[:, None, None]).flatten(1)


def frame_matrix(landmarks: Tensor, side: int) -> Tensor:
    """``B x 2 x 3`` similarity from picture pixels to a ``side`` px frame that the face fills, levelled by the jaw and brows."""
    centre, spread = landmarks.mean(1, keepdim=True), spread_of(landmarks)
    eyes = eye_centres(landmarks)
    direction = eyes[:, 1] - eyes[:, 0]
    direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-3)
    scale = 0.27 * side / spread
    cos, sin = direction[:, 0] * scale, direction[:, 1] * scale
    linear = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    shift = side * landmarks.new_tensor([0.5, 0.52]) - torch.einsum("bij,bj->bi", linear, centre[:, 0])
    return torch.cat([linear, shift[..., None]], -1)


def light_grid(pixels: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """``B x 108`` blurred L*a*b* of the face on a 6 x 6 grid, and ``B x 3`` mean L*a*b* of the cheeks and nose."""
    matrix = frame_matrix(landmarks, _LIGHT_SIDE)
    aligned = warp_affine(pixels, matrix, _LIGHT_SIDE)
    lab = rgb_to_lab(aligned)
    points = apply_affine(matrix, landmarks)
    cheeks = torch.cat(
        [points[:, 28:31], points[:, 1:4] * 0.35 + points[:, 30:31] * 0.65, points[:, 13:16] * 0.35 + points[:, 30:31] * 0.65], 1
    )
    positions = cheeks.round().long().clamp(1, _LIGHT_SIDE - 2)
    smooth = F.avg_pool2d(lab, 3, 1, 1, count_include_pad=False)
    index = positions[..., 1] * _LIGHT_SIDE + positions[..., 0]
    samples = smooth.flatten(2).gather(2, index[:, None].expand(-1, 3, -1))
    grid = F.avg_pool2d(lab, _LIGHT_SIDE // LIGHT_CELLS)
    return grid.flatten(1), samples.median(2).values


def mirror_order(names: list[str]) -> Tensor:
    """For each blendshape, the index of its counterpart on the other side; its own where it has none."""
    swapped = [name.replace("Left", "@").replace("Right", "Left").replace("@", "Right") for name in names]
    return torch.tensor([names.index(other) if other in names else own for own, other in enumerate(swapped)])


class FaceDescriber:
    """Describes faces on one device.

    Args:
        device: where the networks run.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.attributes = AttributeNet(device=device)
        self.guides = load_guides(str(device))
        names = [BLENDSHAPES[i] for i in self.attributes.index.tolist()]
        self.expression_order = mirror_order(names)
        weights = [next((w for start, w in _EXPRESSION.items() if name.startswith(start)), 1.0) for name in names]
        self._expression = torch.tensor(weights, device=self.device)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, landmarks: Tensor) -> Description:
        """Describes ``B x 3 x S x S`` pictures in ``[0, 1]`` with ``B x 68 x 2`` landmarks; landmarks must be finite."""
        found = self.attributes(pixels, landmarks)
        light, skin = light_grid(pixels, landmarks)
        identity, resemblance = self.guides.embed(pixels, landmarks)
        return Description(
            shape=normalised_shape(landmarks),
            expression=found.expression * self._expression,
            pose=found.pose,
            age=found.age,
            male=found.male,
            beard=found.beard,
            glasses=found.glasses,
            occluded=found.occluded,
            light=light,
            skin=skin,
            identity=identity,
            resemblance=resemblance,
        )
