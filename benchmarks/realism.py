"""FID and KID of anonymized pictures against their originals: of whole pictures, and of the square around the main face.

    python benchmarks/realism.py ORIG ANON... --out report.json                any anonymizer's output, paired by path
    python benchmarks/realism.py celebahq --setting donor --limit 200         one of ours, on one of the evaluation sets

Beside them stand the originals as JPEG of quality 95, and with a solid fill of the face. FID depends on the number of pictures, and
on both sets showing the same scenes: compare only rows of one table. KID is unbiased (a picture is never compared with its own
original) and given times 1000 with its standard error. The face's square is the window that an anonymizer works on, from the
original's landmarks, for every row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from judge import judge_face
from sources import compared, comparison_parser, originals_of, write_report
from torch import Tensor

from fo_faceanon.faces import Face
from fo_faceanon.metrics.realism import fid, kid
from fo_faceanon.networks.inception import FidInception
from fo_faceanon.windows import cut_windows, window_of

REGIONS = ("whole picture", "face")


def main_faces(images: Sequence[np.ndarray]) -> list[Face | None]:
    """The judge's face of each picture, with landmarks."""
    faces: list[Face | None] = []
    for image in images:
        found = judge_face(image)
        x0, y0, x1, y1 = found.box.tolist() if found else (0.0, 0.0, 1.0, 1.0)
        faces.append(Face((x0, y0, x1, y1), landmarks=found.landmarks) if found else None)
    return faces


def whole(images: Sequence[np.ndarray]) -> Iterator[Tensor]:
    """Pictures as the network takes them."""
    for image in images:
        yield torch.from_numpy(image.copy()).permute(2, 0, 1)


def squares(images: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Iterator[Tensor]:
    """The windows of the faces; pictures whose original shows none are left out of all rows."""
    for image, face in zip(images, faces, strict=True):
        if face is not None:
            yield cut_windows([image], [face], [window_of(face)], [0], [None], "cpu").pixels[0]


def features_of(images: Sequence[np.ndarray], faces: Sequence[Face | None], network: FidInception) -> dict[str, Tensor]:
    """Features of both regions."""
    return dict(zip(REGIONS, (network(whole(images)), network(squares(images, faces))), strict=True))


def compare(made: dict[str, Tensor], originals: dict[str, Tensor]) -> dict[str, dict[str, float | int]]:
    """FID and KID of both regions, and on how many pictures."""
    report = {}
    for region in REGIONS:
        f, k = fid(made[region], originals[region]), kid(made[region], originals[region], paired=True)
        report[region] = {"fid": f.value, "kid": k.value, "kid_error": k.standard_error or float("nan"), "n": f.preds, "n_real": f.target}
    return report


def table(results: dict[str, dict[str, dict[str, float | int]]]) -> str:
    """Markdown: one line per set of pictures."""
    cells = [f"{measure}, {region}" for region in REGIONS for measure in ("FID", "1000 KID", "n")]
    lines = ["| | " + " | ".join(cells) + " |", "|---" * (len(cells) + 1) + "|"]
    for name, result in results.items():
        row = [name]
        for region in REGIONS:
            r = result[region]
            row += [f"{r['fid']:.2f}", f"{1000 * r['kid']:.2f} ± {1000 * r['kid_error']:.2f}", str(r["n"])]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = comparison_parser(__doc__)
    parser.add_argument("--device", default="cpu", help="where the Inception network runs")
    args = parser.parse_args()
    torch.set_num_threads(1)

    pictures = originals_of(args)
    images = list(pictures.values())
    if len(images) < 2:
        raise SystemExit(f"{args.originals} holds {len(images)} pictures; distances between sets need two at least")
    network, faces = FidInception(args.device), main_faces(images)
    originals = features_of(images, faces, network)
    landmarks = [face.landmarks if face else None for face in faces]
    results = {}
    for name, anonymize in compared(args, list(pictures)).items():
        results[name] = compare(features_of(anonymize(images, landmarks), faces, network), originals)
        print(name, json.dumps(results[name]), flush=True)
    print(table(results))
    write_report(args.out, results)


if __name__ == "__main__":
    main()
