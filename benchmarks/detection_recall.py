"""Which faces each detector finds on whole photographs, beside the detectors that others use; and what each costs.

    python benchmarks/detection_recall.py group_photos.tar [--photos N]

There is no ground truth: the reference is what three detectors find in their makers' settings, faces of 20 pixels and more.
"""

from __future__ import annotations

import argparse
import tarfile
import time
from io import BytesIO

import cv2
import numpy as np
import torch
from PIL import Image

from fo_faceanon.detection import Detector, create_detector, list_detectors, same_face
from fo_faceanon.faces import Face
from fo_faceanon.weights import require_weight

Found = list[list[Face]]


def read_photos(archive: str, count: int) -> list[np.ndarray]:
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar.getmembers() if m.isfile()), key=lambda m: m.name)[:count]
        return [np.array(Image.open(BytesIO(tar.extractfile(m).read())).convert("RGB")) for m in members]  # type: ignore[union-attr]


def facenet_mtcnn(images: list[np.ndarray]) -> Found:
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True)
    rows = [detector.detect(image)[0] for image in images]
    return [[Face(tuple(map(float, box))) for box in ([] if boxes is None else boxes)] for boxes in rows]  # type: ignore[arg-type]


def opencv_yunet(images: list[np.ndarray]) -> Found:
    path = str(require_weight("yunet", "face_detection_yunet_2023mar.onnx"))
    found: Found = []
    for image in images:
        rows = cv2.FaceDetectorYN.create(path, "", (image.shape[1], image.shape[0]), 0.6).detect(image[:, :, ::-1].copy())[1]
        found.append([Face((float(x), float(y), float(x + w), float(y + h))) for x, y, w, h in ([] if rows is None else rows[:, :4])])
    return found


def dlib_upsampled(images: list[np.ndarray]) -> Found:
    import dlib

    detector = dlib.get_frontal_face_detector()
    return [[Face((b.left(), b.top(), b.right() + 1, b.bottom() + 1)) for b in detector(image, 1)] for image in images]


def covered(reference: Found, found: Found) -> tuple[int, int]:
    """How many of the reference's faces were found, and how many there are."""
    hits = [any(same_face(a.box, b.box, 0.3, 0.7) for b in there) for here, there in zip(reference, found, strict=True) for a in here]
    return sum(hits), len(hits)


def cost(detector: Detector, image: np.ndarray) -> float:
    """Milliseconds of processor time for one image, the least of five."""
    times = []
    for _ in range(6):
        start = time.process_time()
        detector([image])
        times.append(time.process_time() - start)
    return 1e3 * min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive")
    parser.add_argument("--photos", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    from skimage.data import astronaut

    images = read_photos(arguments.archive, arguments.photos)
    makers = {"facenet-pytorch": facenet_mtcnn, "YuNet 0.6": opencv_yunet, "dlib, 1 upsampling": dlib_upsampled}
    references = {name: [[f for f in faces if f.size >= 20] for faces in find(images)] for name, find in makers.items()}
    small, large = astronaut(), np.array(Image.fromarray(astronaut()).resize((1280, 1280)))
    print("| detector | " + " | ".join(references) + " | boxes | in no reference | 512 px, ms | 1280 px, ms |")
    print("|---" * (len(references) + 5) + "|")
    for info in list_detectors():
        if not info.available:
            continue
        detector = create_detector(info.name)
        found = detector(images)
        extra = [f for faces, *rest in zip(found, *references.values(), strict=True) for f in faces
                 if not any(same_face(r.box, f.box, 0.3, 0.7) for group in rest for r in group)]  # fmt: skip
        counts = ["{} / {}".format(*covered(reference, found)) for reference in references.values()]
        cells = [
            info.name,
            *counts,
            str(sum(map(len, found))),
            str(len(extra)),
            f"{cost(detector, small):.0f}",
            f"{cost(detector, large):.0f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
