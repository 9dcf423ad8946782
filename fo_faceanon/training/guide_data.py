"""What the guide learns from: dlib's feature maps of faces, and what the teacher, OpenCV's SFace, says of the same faces.

    python -m fo_faceanon.training.guide_data LABELS OUT --teacher face_recognition_sface_2021dec.onnx

``LABELS`` is what ``landmarks_data`` wrote. To its faces come the bank's donors, and donors put into some of the faces as ``donor``
does it, because results are what the guide will be asked about. Needs OpenVINO, as ``bank build`` does.

``OUT`` gets ``maps17.raw``, ``maps8.raw`` and ``maps4.raw`` (``N x S x S x C``, half precision) and ``faces.npz``: ``teacher`` and
``dlib`` (``N x 128`` unit vectors), ``kind`` (0 a photograph, 1 a rendered or turned face, 2 a
donor, 3 a composite), ``original`` (a composite's face, else the row
itself), ``donor`` (a composite's donor, else -1), ``held_out``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.anonymizers.base import replacement_alpha
from fo_faceanon.anonymizers.donor import Donor
from fo_faceanon.donors.bank import load_bank
from fo_faceanon.donors.describe import FaceDescriber
from fo_faceanon.faces import Face
from fo_faceanon.networks.dlib_resnet import load_dlib_resnet
from fo_faceanon.networks.guide_net import MAPS
from fo_faceanon.recognition.align import arcface_chips, dlib_chips
from fo_faceanon.weights import require_weight
from fo_faceanon.windows import cut_windows, window_of

#: Sides of the feature maps.
SIDES = (17, 8, 4)
#: Kinds of faces.
PHOTOGRAPH, MADE, DONOR, COMPOSITE = range(4)
#: Faces that get donors, and how many each; of the faces held out, more of the latter, to tell apart donors for one face.
_FACES, _EACH, _HELD_OUT, _EACH_HELD_OUT = 2600, 2, 500, 6
#: Values of ``shape`` that composites are made with, and how many of the likeliest donors are drawn from.
_SHAPES, _SHORTLIST = (0.3, 0.5, 0.8), 50
#: Degrees of yaw up to which a face gets donors, and greatest disagreement of its two landmark sources, in face sizes.
_YAW, _AGREE = 35.0, 0.06
_BATCH = 8
#: How the names of sets begin that show nobody.
_RENDERED = ("cand", "generated", "stylegan", "sd3")
#: Pictures and landmarks of up to :data:`_BATCH` faces.
Faces = tuple[Tensor, Tensor]


class Teacher:
    """SFace (Zhong et al. 2021), OpenCV's ONNX file, Apache-2.0."""

    def __init__(self, path: Path) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        model.reshape([_BATCH, 3, 112, 112])
        self._run = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1})

    def __call__(self, faces: Faces) -> np.ndarray:
        """``B x 128`` unit vectors: the mean of the face's and its mirror image's, as a donor and its mirror image share one."""
        chips = (arcface_chips(*faces) * 255).round().numpy()
        padded = np.zeros((_BATCH, 3, 112, 112), np.float32)
        padded[: len(chips)] = chips
        both = [self._run(np.ascontiguousarray(side))[0][: len(chips)] for side in (padded, padded[..., ::-1])]
        mean = sum(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in both)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def labelled_faces(labels: Path) -> Iterator[Faces]:
    """The faces that ``landmarks_data`` wrote."""
    crops = np.load(labels / "crops.npy", mmap_mode="r")
    points = torch.from_numpy(np.load(labels / "labels.npz")["points"])
    for start in range(0, len(crops), _BATCH):
        pixels = torch.from_numpy(np.array(crops[start : start + _BATCH])).permute(0, 3, 1, 2).float() / 255
        yield pixels, points[start : start + _BATCH]


def donor_faces() -> Iterator[Faces]:
    """The bank's pictures, without their mirror images."""
    bank = load_bank()
    for rows in torch.arange(0, len(bank), 2).split(_BATCH):
        yield bank.pictures(rows), bank.landmarks[rows]


def photographs(file: Mapping[str, np.ndarray]) -> np.ndarray:
    """``N`` bool: which labelled faces are neither rendered nor turned by us."""
    rendered = [i for i, name in enumerate(file["sets"]) if str(name).startswith(_RENDERED)]
    return ~file["turned"] & ~np.isin(file["set_of"], rendered)


def chosen_faces(labels: Path, seed: int = 3) -> list[tuple[int, int]]:
    """Rows of faces that get donors, and how many each gets: near-frontal ones, neither turned nor made by us."""
    file = np.load(labels / "labels.npz")
    able = photographs(file) & (np.abs(file["yaw"]) < _YAW) & (file["agreement"] < _AGREE)
    random = np.random.default_rng(seed)
    known, held_out = (random.permutation(np.flatnonzero(able & part)) for part in (~file["held_out"], file["held_out"]))
    return [(int(row), _EACH) for row in known[:_FACES]] + [(int(row), _EACH_HELD_OUT) for row in held_out[:_HELD_OUT]]


def composites(labels: Path, seed: int = 3) -> Iterator[tuple[Faces, int, int]]:
    """Faces with donors put in, one at a time: the result, the original's row and the donor's number."""
    crops = np.load(labels / "crops.npy", mmap_mode="r")
    points = np.load(labels / "labels.npz")["points"]
    random, describer = np.random.default_rng(seed), FaceDescriber()
    methods = {shape: Donor(shape=shape) for shape in _SHAPES}
    for row, many in chosen_faces(labels, seed):
        x0, y0, x1, y1 = (float(edge) for edge in (*points[row].min(0), *points[row].max(0)))
        face = Face((x0, y0, x1, y1), landmarks=points[row])
        batch = cut_windows([np.asarray(crops[row])], [face], [window_of(face)], [int(random.integers(2**40))], [None], "cpu")
        description = describer(batch.reduce(batch.pixels), batch.reduced_landmarks)
        near = methods[_SHAPES[0]].index.costs(description).topk(_SHORTLIST, largest=False).indices[0]
        for rank in random.permutation(_SHORTLIST)[:many]:
            method, chosen = methods[_SHAPES[random.integers(len(_SHAPES))]], near[rank].view(1, 1)
            made = method.render(batch, description, chosen)
            blended = batch.pixels + (made - batch.pixels) * replacement_alpha(batch)
            yield (batch.reduce(blended), batch.reduced_landmarks), row, int(chosen) // 2


class Writer:
    """Collects rows of the training set; feature maps go to disk as they come."""

    def __init__(self, out: Path, teacher: Teacher) -> None:
        self._teacher = teacher
        self._net = load_dlib_resnet(require_weight("dlib-recognition", "dlib_face_recognition_resnet_model_v1.dat"))
        self._files = [(out / f"maps{side}.raw").open("wb") for side in SIDES]
        self.rows: dict[str, list[np.ndarray]] = {"teacher": [], "dlib": []}

    def add(self, faces: Faces) -> None:
        """Adds up to eight faces."""
        maps = self._net.maps(dlib_chips(*faces))
        for file, i in zip(self._files, MAPS, strict=True):
            file.write(maps[i].permute(0, 2, 3, 1).half().numpy().tobytes())
        self.rows["teacher"].append(self._teacher(faces))
        self.rows["dlib"].append(F.normalize(self._net.describe(maps)).numpy())

    def close(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows' vectors, the teacher's and dlib's, after the maps' files are complete."""
        for file in self._files:
            file.close()
        return np.concatenate(self.rows["teacher"]), np.concatenate(self.rows["dlib"])


@torch.inference_mode()
def write_data(labels: Path, out: Path, teacher: Teacher) -> None:
    """Writes the whole training set."""
    out.mkdir(parents=True, exist_ok=True)
    writer = Writer(out, teacher)
    file = np.load(labels / "labels.npz")
    held_out, real = file["held_out"], photographs(file)
    counts = []
    for source in (labelled_faces(labels), donor_faces()):
        counts.append(0)
        for faces in source:
            writer.add(faces)
            counts[-1] += len(faces[0])
        print(counts, flush=True)
    pairs = []
    for face, row, donor in composites(labels):
        writer.add(face)
        pairs.append((row, donor))
    originals, donors = np.array(pairs).T
    total = sum(counts)
    teacher_vectors, dlib_vectors = writer.close()
    np.savez(
        out / "faces.npz",
        kind=np.concatenate([np.where(real, PHOTOGRAPH, MADE), np.full(counts[1], DONOR), np.full(len(pairs), COMPOSITE)]),
        original=np.concatenate([np.arange(total), originals]),
        donor=np.concatenate([np.full(total, -1), donors]),
        held_out=np.concatenate([held_out, np.zeros(counts[1], bool), held_out[originals]]),
        teacher=teacher_vectors,
        dlib=dlib_vectors,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--teacher", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    write_data(args.labels, args.out, Teacher(args.teacher))


if __name__ == "__main__":
    main()
