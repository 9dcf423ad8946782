"""Labels that a face parser gives to the pictures of ``attributes_data``: glasses, dark glasses, hair or cloth over the face::

    python -m fo_faceanon.training.parse_faces SHARED_DATA LABELS --parser 79999_iter.pth [--candidates FOLDER]

Writes ``<set>.parsed.npz`` beside each ``<set>.npz``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull
from skimage.draw import polygon2mask
from skimage.morphology import erosion
from torch import Tensor

from fo_faceanon.faces import apply_affine, warp_affine
from fo_faceanon.networks.bisenet import CLASSES, BiSeNet
from fo_faceanon.training.attributes_data import LIMITS, MAGNIFY, MARGIN, Picture, read_candidates, read_set

#: The parser sees the face framed as FFHQ frames it: 256 px, template pixels enlarged by this and moved by these.
SIDE, ENLARGE, SHIFT = 256, 2.2, (40.0, 48.0)
_GLASSES = CLASSES.index("eye_g")
_COVER = [CLASSES.index(name) for name in ("hair", "hat", "cloth")]
_SKIN = CLASSES.index("skin")
_LUMA = np.array([0.299, 0.587, 0.114])


def parser_matrix(align: Tensor) -> Tensor:
    """Picture to parser frame, from picture to stored crop."""
    gain = ENLARGE / MAGNIFY
    move = torch.tensor(SHIFT) - (MARGIN - 0.5) * gain - 0.5
    return torch.cat([align[:, :, :2] * gain, align[:, :, 2:] * gain + move[:, None]], -1)


def measure_face(classes: np.ndarray, image: np.ndarray, points: np.ndarray) -> tuple[float, float, float]:
    """One parsed face.

    Args:
        classes: ``256 x 256`` class numbers.
        image: ``256 x 256 x 3`` in ``[0, 1]``.
        points: ``68 x 2`` in that frame.

    Returns:
        The share of the eyes' band under glasses, the glasses' median brightness over the skin's (1 without glasses), and the share
        of the hull of all landmarks under hair, hat or cloth.
    """
    hull = points[ConvexHull(points).vertices]
    inside = polygon2mask((SIDE, SIDE), hull[:, ::-1])
    low, high = points[36:48].min(0), points[36:48].max(0)
    reach = 0.35 * (high[0] - low[0]) / 2
    y0, y1 = (int(np.clip(v, 0, SIDE)) for v in (low[1] - reach, high[1] + reach))
    x0, x1 = (int(np.clip(v, 0, SIDE)) for v in (low[0], high[0]))
    glasses = classes == _GLASSES
    band = glasses[y0:y1, x0:x1]
    luma = image @ _LUMA
    lens, skin = erosion(glasses, np.ones((5, 5))), inside & (classes == _SKIN)
    ratio = float(np.median(luma[lens]) / max(np.median(luma[skin]), 0.02)) if lens.sum() > 50 and skin.sum() > 200 else 1.0
    return float(band.mean()) if band.size else 0.0, ratio, float(np.isin(classes[inside], _COVER).mean()) if inside.any() else 0.0


def soft_labels(band: np.ndarray, ratio: np.ndarray, cover: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities from the measurements: certain at the ends, undecided between (thresholds from looking at sorted faces)."""
    glasses = np.clip((band - 0.03) / 0.08, 0, 1)
    return {
        "glasses": glasses,
        "sunglasses": np.minimum(glasses, np.clip((0.47 - ratio) / 0.1, 0, 1)),
        "occluded": np.clip((cover - 0.05) / 0.1, 0, 1),
    }


@torch.inference_mode()
def parse_set(net: BiSeNet, path: Path, pictures: Iterator[Picture], batch: int = 8) -> int:
    """Parses the faces of one set and writes their labels; returns how many."""
    with np.load(path) as file:
        names, align, points = file["names"].tolist(), torch.from_numpy(file["align"]), torch.from_numpy(file["points"])
    matrix = parser_matrix(align)
    aligned = apply_affine(matrix, points).numpy()
    place = {name: i for i, name in enumerate(names)}
    found = np.full((len(names), 3), np.nan)
    images: list[Tensor] = []
    rows: list[int] = []

    def flush() -> None:
        if not rows:
            return
        stack = torch.cat(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            classes = net(stack.contiguous(memory_format=torch.channels_last)).argmax(1).numpy()
        for k, row in enumerate(rows):
            found[row] = measure_face(classes[k], stack[k].permute(1, 2, 0).numpy(), aligned[row])
        images.clear()
        rows.clear()

    for picture in pictures:
        row = place.get(picture.name)
        if row is None:
            continue
        image = torch.from_numpy(np.array(picture.pixels)).permute(2, 0, 1)[None].float() / 255
        images.append(warp_affine(image, matrix[row : row + 1], SIDE).clamp(0, 1))
        rows.append(row)
        if len(rows) == batch:
            flush()
    flush()
    band, ratio, cover = found.T
    np.savez(path.with_suffix(".parsed.npz"), band=band, ratio=ratio, cover=cover)
    return len(names)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--parser", type=Path, required=True)
    parser.add_argument("--candidates", type=Path)
    parser.add_argument("--sets", nargs="*", default=["ffhq_256", "candidates", "omi", "all_age_faces", "generated", "us_officials"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = BiSeNet()
    net.load_state_dict(torch.load(args.parser, map_location="cpu", weights_only=True))
    net.eval().to(memory_format=torch.channels_last)
    for name in args.sets:
        pictures = read_candidates(args.candidates, 10**9) if name == "candidates" else read_set(args.data, name, LIMITS[name])
        print(name, parse_set(net, args.labels / f"{name}.npz", pictures), flush=True)


if __name__ == "__main__":
    main()
