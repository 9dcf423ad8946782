"""The donor bank on disk: pictures in one file, read on demand; everything known about them in a safetensors index."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fo_faceanon.donors.describe import Description
from fo_faceanon.errors import WeightsError

PICTURES = "pictures.bin"
INDEX = "index.safetensors"
#: Side of a donor picture, in pixels.
SIDE = 256
#: Decoded pictures kept in memory (196 KB each).
_CACHED = 512


def starter_bank() -> Path:
    """The folder of the bank that ships with the package."""
    return Path(__file__).resolve().parent.parent / "data" / "bank"


def mirror_landmarks(landmarks: Tensor, side: int = SIDE) -> Tensor:
    """``N x 68 x 2`` landmarks of the mirrored pictures: x is reflected and left and right indices change places."""
    mirrored = landmarks[:, MIRROR].clone()
    mirrored[..., 0] = side - 1 - mirrored[..., 0]
    return mirrored


def _mirror_order() -> list[int]:
    order = list(range(68))
    pairs = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)] + [(31, 35), (32, 34)]
    pairs += [
        (36, 45),
        (37, 44),
        (38, 43),
        (39, 42),
        (40, 47),
        (41, 46),
        (48, 54),
        (49, 53),
        (50, 52),
        (55, 59),
        (56, 58),
        (60, 64),
        (61, 63),
        (65, 67),
    ]
    for a, b in pairs:
        order[a], order[b] = b, a
    return order


#: Index permutation of the 68 points under mirroring.
MIRROR = _mirror_order()


class DonorBank:
    """Faces of nobody, each also mirrored: row ``2 i`` is picture ``i``, row ``2 i + 1`` its mirror image.

    Args:
        folder: where ``pictures.bin`` and ``index.safetensors`` lie.
        device: where descriptions and decoded pictures go.

    Raises:
        WeightsError: if the folder holds no bank, or one that an earlier version built.
    """

    def __init__(self, folder: Path | str | None = None, device: torch.device | str = "cpu") -> None:
        self.folder = Path(folder) if folder is not None else starter_bank()
        self.device = torch.device(device)
        if not (self.folder / INDEX).is_file() or not (self.folder / PICTURES).is_file():
            raise WeightsError(f"there is no donor bank in {self.folder}: build one with `fo-faceanon bank build --out {self.folder}`")
        with safe_open(str(self.folder / INDEX), framework="pt") as f:
            names = set(f.keys())
            tensors = {name: f.get_tensor(name) for name in names}
            self.card = json.loads((f.metadata() or {}).get("card", "{}"))
        unknown = sorted({f.name for f in fields(Description)} - names)
        if unknown:
            raise WeightsError(
                f"the donor bank in {self.folder} was built by an earlier version, which did not describe {', '.join(unknown)}: "
                "build it again with `fo-faceanon bank build` into another folder"
            )
        self.offsets = tensors["offsets"].numpy()
        landmarks = tensors["landmarks"].to(self.device, torch.float32)
        known = Description(**{f.name: tensors[f.name].to(self.device, torch.float32) for f in fields(Description)})
        mirrored = mirror_landmarks(landmarks)
        self.landmarks = _interleave(landmarks, mirrored)
        self.description = _with_mirrored(known, known.mirrored(mirrored, tensors["expression_order"].to(self.device)))
        self.index_path = self.folder / INDEX
        self._bytes = np.memmap(self.folder / PICTURES, np.uint8, "r")
        self._cache: OrderedDict[int, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return self.landmarks.shape[0]

    def picture(self, row: int) -> Tensor:
        """``3 x 256 x 256`` float32 in ``[0, 1]`` of one row."""
        picture = self._decoded(row // 2).to(self.device).float() / 255
        return picture.flip(-1) if row % 2 else picture

    def _decoded(self, number: int) -> Tensor:
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        decoded = cv2.imdecode(np.asarray(self._bytes[start:stop]), cv2.IMREAD_COLOR)
        if decoded is None:
            raise WeightsError(
                f"donor {number} of the bank in {self.folder} cannot be decoded: the file is damaged; install the package again"
            )
        picture = torch.from_numpy(np.ascontiguousarray(decoded[..., ::-1].transpose(2, 0, 1)))
        self._cache[number] = picture
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return picture

    def pictures(self, rows: Tensor) -> Tensor:
        """``N x 3 x 256 x 256`` of ``N`` rows."""
        return torch.stack([self.picture(int(row)) for row in rows.flatten().tolist()])


def _interleave(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([a, b], 1).flatten(0, 1)


def _with_mirrored(known: Description, mirrored: Description) -> Description:
    return Description(**{f.name: _interleave(getattr(known, f.name), getattr(mirrored, f.name)) for f in fields(Description)})


def write_bank(
    folder: Path, encoded: list[bytes], landmarks: Tensor, description: Description, expression_order: Tensor, card: dict[str, object]
) -> None:
    """Writes a bank.

    Args:
        folder: created where it does not exist.
        encoded: N encoded pictures of 256 x 256 px.
        landmarks: ``N x 68 x 2`` in the pictures.
        description: of the N pictures; what the mirrored ones look like follows from it.
        expression_order: the blendshapes' counterparts (:func:`~fo_faceanon.donors.describe.mirror_order`).
        card: what the bank is made of; stored in the index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    offsets = torch.tensor(np.cumsum([0, *map(len, encoded)]), dtype=torch.int64)
    (folder / PICTURES).write_bytes(b"".join(encoded))
    tensors = {f.name: getattr(description, f.name).half().contiguous() for f in fields(Description)}
    tensors |= {"offsets": offsets, "landmarks": landmarks.half().contiguous(), "expression_order": expression_order}
    save_file(tensors, str(folder / INDEX), metadata={"card": json.dumps(card)})
    (folder / INDEX).chmod((folder / PICTURES).stat().st_mode)  # safetensors makes files that only their owner can read


@lru_cache(maxsize=4)
def load_bank(folder: str | None = None, device: str = "cpu") -> DonorBank:
    """The bank in ``folder`` (the starter bank where None), loaded once per process and device."""
    return DonorBank(folder, device)
