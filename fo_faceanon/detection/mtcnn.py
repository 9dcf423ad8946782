"""MTCNN (Zhang et al. 2016, IEEE SPL 23(10)): a cascade of three small networks over an image pyramid.

The networks and weights are facenet-pytorch's; the cascade is ours. It batches every step, averages areas when it shrinks,
and surrounds each pyramid level with half a window of replicated border, so that a face that fills the image is found too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, box_iou

from fo_faceanon.detection.base import check_image, sort_faces
from fo_faceanon.detection.mtcnn_networks import load_networks
from fo_faceanon.detection.pyramid import crop_boxes, half_octaves, halve_chain
from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face

WINDOW = 12  # pixels that one output of PNet sees
STRIDE = 2
PAD = 6  # replicated border around each level
STRIP_PIXELS = 1 << 18  # PNet runs on strips of at most about so many pixels: a bound on memory


class MTCNN:
    """Faces by MTCNN, from ``min_face`` pixels to the whole image.

    Args:
        device: where the networks run.
        min_face: side of the smallest face looked for, in pixels, at least 8.
        threshold: smallest final score (ONet's probability) of a face.
        proposal_threshold: of PNet's.
        refinement_threshold: of RNet's.

    Raises:
        InputError: an argument is out of range.
        WeightsError: the weights are missing or altered.
    """

    name = "mtcnn"

    def __init__(
        self,
        device: str | torch.device = "cpu",
        min_face: int = 16,
        threshold: float = 0.7,
        proposal_threshold: float = 0.6,
        refinement_threshold: float = 0.7,
    ) -> None:
        if min_face < 8:
            raise InputError(f"min_face must be at least 8 pixels, but got {min_face}")
        thresholds = (proposal_threshold, refinement_threshold, threshold)
        if not all(0 < value < 1 for value in thresholds):
            raise InputError(f"detection thresholds must be between 0 and 1, but got {thresholds}")
        self.device = torch.device(device)
        self.min_face = min_face
        self.thresholds = thresholds
        self.pnet, self.rnet, self.onet = load_networks(self.device)
        # The networks run on batches of one fixed shape, filled up with blanks, so that no result depends on what else was in a batch.
        # On a CPU a batch of images gains nothing and each goes alone, its crops in batches that stay in the cache.
        self.images_at_once, self.crops_at_once = (1, 32) if self.device.type == "cpu" else (8, 128)

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """See :class:`~fo_faceanon.detection.base.Detector`."""
        checked = [check_image(image, "MTCNN") for image in images]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(checked):
            groups.setdefault(image.shape, []).append(i)
        faces: list[list[Face]] = [[] for _ in checked]
        for members in groups.values():
            for start in range(0, len(members), self.images_at_once):
                part = members[start : start + self.images_at_once]
                for i, found in zip(part, self._detect(np.stack([checked[i] for i in part])), strict=True):
                    faces[i] = found
        return faces

    def _detect(self, images: np.ndarray) -> list[list[Face]]:
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).contiguous().float().sub_(127.5).div_(128)
        if len(images) < self.images_at_once:
            pixels = torch.cat([pixels, pixels.new_zeros(self.images_at_once - len(images), *pixels.shape[1:])])
        chain = halve_chain(pixels)
        boxes, scores, indices = self._propose(chain)
        if len(boxes):
            boxes, scores, indices = self._refine(chain, boxes, indices)
        if len(boxes):
            boxes, scores, indices = self._output(chain, boxes, indices)
        faces: list[list[Face]] = [[] for _ in range(self.images_at_once)]
        for box, score, index in zip(boxes.tolist(), scores.tolist(), indices.tolist(), strict=True):
            faces[index].append(Face((box[0], box[1], box[2], box[3]), score=score, detector=self.name))
        return [sort_faces(found) for found in faces[: len(images)]]

    def _propose(self, chain: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """First stage: boxes ``N x 4``, scores ``N`` and image indices ``N``."""
        found = [torch.zeros(0, 10, device=self.device)]
        first = WINDOW / self.min_face
        count = level_count(min(chain[0].shape[-2:]) * first)
        for k, level in enumerate(half_octaves(chain[0], first, count)):
            scale = first * 0.5 ** (k / 2)
            offsets, scores = proposal_maps(self.pnet, F.pad(level, (PAD, PAD, PAD, PAD), mode="replicate"))
            image, row, column = (scores >= self.thresholds[0]).nonzero(as_tuple=True)
            corner = (torch.stack([column, row], 1) * STRIDE - PAD) / scale
            boxes = torch.cat([corner, corner + WINDOW / scale], 1)
            score, offset = scores[image, row, column], offsets[image, :, row, column]
            keep = batched_nms(boxes, score, image, 0.5)
            found.append(torch.cat([boxes, score[:, None], image[:, None], offset], 1)[keep])
        every = torch.cat(found)
        every = every[batched_nms(every[:, :4], every[:, 4], every[:, 5].long(), 0.7)]
        return square(shift_boxes(every[:, :4], every[:, 6:])), every[:, 4], every[:, 5].long()

    def _refine(self, chain: list[Tensor], boxes: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, indices, (offsets, probabilities) = self._judge(self.rnet, chain, boxes, indices, 24)
        keep = probabilities[:, 1] >= self.thresholds[1]
        boxes, indices, offsets, scores = boxes[keep], indices[keep], offsets[keep], probabilities[keep, 1]
        keep = batched_nms(boxes, scores, indices, 0.7)
        return square(shift_boxes(boxes[keep], offsets[keep])), scores[keep], indices[keep]

    def _output(self, chain: list[Tensor], boxes: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, indices, (offsets, _, probabilities) = self._judge(self.onet, chain, boxes, indices, 48)
        keep = probabilities[:, 1] >= self.thresholds[2]
        boxes, indices, scores = shift_boxes(boxes[keep], offsets[keep]), indices[keep], probabilities[keep, 1]
        keep = suppress_contained(boxes, scores, indices, 0.7)
        return boxes[keep], scores[keep], indices[keep]

    def _judge(
        self, network: nn.Module, chain: list[Tensor], boxes: Tensor, indices: Tensor, side: int
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The boxes that overlap their image, with what ``network`` says of them.

        Outside of the image they are grey. (facenet-pytorch stretches the part inside instead, which makes much too large boxes win.)
        """
        height, width = chain[0].shape[-2:]
        limit = boxes.new_tensor([width, height, width, height])
        inside = torch.minimum(boxes.clamp_min(0), limit)
        keep = (inside[:, 2:] - inside[:, :2] >= 1).all(1)
        boxes, indices = boxes[keep], indices[keep]
        crops = crop_boxes(chain, boxes, indices, side)
        return boxes, indices, self._run(network, crops)

    def _run(self, network: nn.Module, crops: Tensor) -> tuple[Tensor, ...]:
        count = len(crops)
        if self.images_at_once > 1:
            crops = torch.cat([crops, crops.new_zeros((-count % self.crops_at_once, *crops.shape[1:]))])
        # channels_last: a third off the time of small crops on a CPU
        parts = [network(part.contiguous(memory_format=torch.channels_last)) for part in crops.split(self.crops_at_once)]
        return tuple(torch.cat(outputs)[:count] for outputs in zip(*parts, strict=True))


def level_count(side: float) -> int:
    """How many levels, each ``sqrt(2)`` smaller, until a window is half as large again as an image side of ``side`` pixels."""
    ratio = side * 1.5 / WINDOW
    return int(2 * math.log2(ratio)) + 1 if ratio >= 1 else 0


def proposal_maps(pnet: nn.Module, level: Tensor) -> tuple[Tensor, Tensor]:
    """PNet's box offsets ``B x 4 x h x w`` and face probabilities ``B x h x w``, exactly as in one run, but strip by strip."""
    height, width = level.shape[-2:]
    rows = max(STRIP_PIXELS // (width * len(level)) // STRIDE, 16)  # output rows per strip
    total = (height - WINDOW) // STRIDE + 1 + (height - WINDOW) % STRIDE  # the pooling rounds up
    if total <= rows:
        offsets, probabilities = pnet(level)
        return offsets, probabilities[:, 1]
    strips = []
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        end = height if stop == total else STRIDE * (stop - 1) + WINDOW
        strips.append(pnet(level[:, :, STRIDE * start : end]))
    return torch.cat([s[0] for s in strips], 2), torch.cat([s[1][:, 1] for s in strips], 1)


def shift_boxes(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Boxes ``N x 4`` moved by the networks' offsets ``N x 4``, given in widths and heights of the boxes."""
    extent = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + offsets * extent


def square(boxes: Tensor) -> Tensor:
    """The smallest squares with the same centres that hold the boxes' longer sides; ``N x 4``."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True).clamp_min(0) / 2
    return torch.cat([centre - half, centre + half], 1)


def suppress_contained(boxes: Tensor, scores: Tensor, indices: Tensor, limit: float) -> Tensor:
    """Greedy suppression where the intersection is more than ``limit`` of the smaller box, per image; kept rows by falling score.

    Args:
        boxes: ``N x 4``.
        scores: ``N``.
        indices: ``N``.
        limit: in ``[0, 1]``.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, indices = boxes[order], indices[order]
    area = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1)
    iou = box_iou(boxes, boxes)
    inter = iou * (area[:, None] + area[None, :]) / (1 + iou)
    over = (inter > limit * torch.minimum(area[:, None], area[None, :])) & (indices[:, None] == indices[None, :])
    clash = over.cpu().numpy()
    kept: list[int] = []
    for i in range(len(clash)):
        if not clash[i, kept].any():
            kept.append(i)
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]
