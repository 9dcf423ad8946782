"""What anonymized pictures keep and give away, each compared with its own original.

    python benchmarks/evaluate_same_photo.py ORIG ANON --out report.json            any anonymizer's output, paired by path
    python benchmarks/evaluate_same_photo.py celebahq --setting donor --limit 100   one of ours, on one of the evaluation sets

Beside them stand the noise floor (the original as JPEG of quality 95) and the privacy floor (a solid fill of the face). The
main face of each picture counts. Judge: facenet-pytorch's MTCNN with its defaults, dlib's 68 landmarks (for geometry, the mean
from seven boxes).

``lm68`` and ``lm51`` (without the jaw): mean absolute coordinate difference over points and both coordinates, divided by the
distance of the eye centres, on faces found in both pictures; again on those faces on whose original dlib's landmarks are
steady (on turned and covered faces they lie anywhere, and nobody can keep them); ``lm478``: the same of MediaPipe's points,
where its weights are there. ``emotion_agreement``: same most probable class of face-api.js's network; an undetected face counts
as a disagreement. ``cosine``: per recogniser, each picture by its own landmarks, an undetected face by its original's. Light and
colour: inside the original's face, whether or not the judge found one, in windows of at most 384 px.
``si_mse`` is on linear light, ``si_mse_encoded`` on gamma-encoded values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from embedding import JudgedSet, judge_set, recognisers
from judge import seven_landmarks, steady_landmarks, unsteadiness
from scores import same_photo
from sources import compared, comparison_parser, originals_of, write_report
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon import Face
from fo_faceanon.metrics.colour import delta_e_2000
from fo_faceanon.metrics.lighting import lighting_metrics, si_mse
from fo_faceanon.networks.face_api_expression import FaceApiExpression, expression_chips, load_expression
from fo_faceanon.photometry.color import rgb_to_lab
from fo_faceanon.photometry.skin import face_masks, face_size
from fo_faceanon.recognition import Recogniser, crops_of
from fo_faceanon.weights import find_weight, require_weight

#: dlib's landmarks hold on to a face if another box moves them by less than this, in inter-ocular distances.
STEADY = 0.03


def landmark_errors(made: JudgedSet, originals: JudgedSet) -> dict[str, float]:
    """Mean landmark errors in units of the inter-ocular distance, over faces found in both pictures.

    ``_steady``: over those on whose original dlib's landmarks hold on to the face, whatever the result looks like.
    """
    errors, steady = [], []
    for after, before, theirs, face in zip(made.images, originals.images, made.faces, originals.faces, strict=True):
        if theirs and face:
            seven = seven_landmarks(before, face.landmarks)
            kept, known = steady_landmarks(after, theirs.landmarks), seven.mean(0)
            errors.append(np.abs(kept - known).mean(1) / np.linalg.norm(known[36:42].mean(0) - known[42:48].mean(0)))
            steady.append(unsteadiness(seven) < STEADY)
    if not errors:
        return {"n": 0}
    rows = np.stack(errors)
    held = rows[np.array(steady)]
    return {
        "lm68": float(rows.mean()),
        "lm51": float(rows[:, 17:].mean()),
        "n": len(rows),
        "lm68_median": float(np.median(rows.mean(1))),
        "lm68_steady": float(held.mean()),
        "lm51_steady": float(held[:, 17:].mean()),
        "n_steady": len(held),
    }


def mesh_errors(made: JudgedSet, originals: JudgedSet) -> dict[str, float]:
    """Mean error of MediaPipe's 478 points, which no donor is placed by, in inter-ocular distances; nothing without its weights."""
    if find_weight("face-landmarker") is None:
        return {"n": 0}
    from fo_faceanon.landmarks.mesh478 import Mesh478

    landmarker, errors = Mesh478("cpu"), []
    for after, before, theirs, face in zip(made.images, originals.images, made.faces, originals.faces, strict=True):
        if not (theirs and face):
            continue
        found = [landmarker(image, [Face(tuple(one.box.tolist()))])[0] for image, one in ((after, theirs), (before, face))]
        if found[0] is None or found[1] is None:
            continue
        kept, known = (np.asarray(one.points)[:, :2] for one in found if one is not None)
        eyes = known[[33, 133]].mean(0) - known[[263, 362]].mean(0)
        errors.append(float(np.abs(kept - known).mean() / np.linalg.norm(eyes)))
    return {"lm478": float(np.mean(errors)), "lm478_median": float(np.median(errors)), "n": len(errors)} if errors else {"n": 0}


@torch.inference_mode()
def emotions(pictures: JudgedSet, network: FaceApiExpression) -> np.ndarray:
    """Most probable emotion of each picture, -1 where the judge found no face."""
    classes = np.full(len(pictures.images), -1)
    landmarks = [face.landmarks if face else None for face in pictures.faces]
    for rows, crops, points in crops_of(pictures.images, landmarks):
        classes[rows] = network(expression_chips(crops, points)).argmax(1).numpy()
    return classes


def emotion_agreement(made: JudgedSet, originals: JudgedSet, network: FaceApiExpression) -> dict[str, float]:
    """Fraction of faces found on the original whose most probable emotion is kept."""
    before, after = emotions(originals, network), emotions(made, network)
    known = before >= 0
    return {"emotion_agreement": float((after == before)[known].mean()), "n": int(known.sum())}


def _reduced(target: Tensor, preds: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of at most 384 px, and the landmarks in them: faces are then at most 175 px high."""
    factor = -(-target.shape[-1] // 384)
    if factor == 1:
        return target, preds, points
    return F.avg_pool2d(target, factor), F.avg_pool2d(preds, factor), (points + 0.5) / factor - 0.5


@torch.inference_mode()
def light_and_colour(made: JudgedSet, originals: JudgedSet) -> dict[str, float]:
    """Means over faces of the lighting metrics in the face, and of CIEDE2000 over skin pixels and of its mean colour."""
    rows: dict[str, list[float]] = {}
    for indices, target, points in crops_of(originals.images, originals.alignment, batch=8):
        ((again, preds, _),) = crops_of([made.images[i] for i in indices], [originals.alignment[i] for i in indices], batch=8)
        assert again == list(range(len(indices)))  # same landmarks, hence the same windows in the same order
        target, preds, points = _reduced(target, preds, points)
        masks, size = face_masks(points, *target.shape[2:]), face_size(points)
        values = lighting_metrics(preds, target, masks.hull, size)
        values["si_mse_encoded"] = si_mse(preds, target, masks.hull)
        lab = [rgb_to_lab(image) for image in (preds, target)]
        count = masks.skin.sum((1, 2, 3)).clamp_min(1e-6)
        values["delta_e_skin"] = (delta_e_2000(*lab) * masks.skin).sum((1, 2, 3)) / count
        means = [((image * masks.skin).sum((2, 3)) / count[:, None])[..., None, None] for image in lab]
        values["delta_e_mean_skin"] = delta_e_2000(*means)[:, 0, 0, 0]
        for key, value in values.items():
            rows.setdefault(key, []).extend(value.tolist())
    return {key: float(np.nanmean(value)) for key, value in rows.items()} | {"n": len(next(iter(rows.values()), []))}


def evaluate(made: JudgedSet, originals: JudgedSet, networks: Sequence[Recogniser], expression: FaceApiExpression) -> dict:
    """Everything about one set of pictures; each part with the number of faces that it stands on."""
    found = np.array([face is not None for face in originals.faces])
    kept = np.array([face is not None for face in made.faces])
    usable = np.flatnonzero(found)
    identity = {n.name: same_photo(made.vectors[n.name][usable], originals.vectors[n.name][usable], n.threshold) for n in networks}
    for network in networks:
        identity[network.name]["judge"] = not network.guide_allowed
    return {
        "pictures": len(found),
        "detected": {"rate": float(kept[found].mean()), "n": int(found.sum())},
        "geometry": landmark_errors(made, originals),
        "mesh": mesh_errors(made, originals),
        "expression": emotion_agreement(made, originals, expression),
        "light_and_colour": light_and_colour(made, originals),
        "identity": identity,
    }


def table(results: dict[str, dict], networks: Sequence[Recogniser]) -> str:
    """Markdown: one line per set of pictures."""
    names = [n.name + (" (guide)" if n.guide_allowed else "") for n in networks]
    head = ["", "detected %", "lm68", "lm51", "steady n", "lm68", "lm51", "lm478 (n)", "emotion %"]
    head += ["Si-MSE", "Si-MSE enc.", "Si-L2", "dE skin", "dE mean"]
    head += [f"cos {name} (imp.) / rank-1" for name in names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, result in results.items():
        geometry, light = result["geometry"], result["light_and_colour"]
        cells = [name, f"{100 * result['detected']['rate']:.1f}"]
        cells += [f"{geometry[key]:.4f}" if geometry["n"] else "-" for key in ("lm68", "lm51")]
        cells += [str(geometry.get("n_steady", 0))]
        cells += [f"{geometry[key]:.4f}" if geometry["n"] else "-" for key in ("lm68_steady", "lm51_steady")]
        cells += [f"{result['mesh']['lm478']:.4f} ({result['mesh']['n']})" if result["mesh"]["n"] else "-"]
        cells += [f"{100 * result['expression']['emotion_agreement']:.1f}"]
        cells += [f"{light[key]:.4f}" for key in ("si_mse", "si_mse_encoded", "shading_si_l2")]
        cells += [f"{light[key]:.2f}" for key in ("delta_e_skin", "delta_e_mean_skin")]
        for network in networks:
            row = result["identity"][network.name]
            cells.append(f"{row['cosine']:.3f} ({row['impostor']:.3f}) / {row['rank1']:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = comparison_parser(__doc__)
    parser.add_argument("--cache", type=Path, help="a folder that keeps what was judged and embedded")
    args = parser.parse_args()
    torch.set_num_threads(1)

    pictures = originals_of(args)
    if not pictures:
        raise SystemExit(f"no pictures in {args.originals}")
    networks = recognisers()
    expression = load_expression(require_weight("expression"))
    originals = judge_set(list(pictures.values()), networks, args.cache)
    results = {}
    for name, anonymize in compared(args, list(pictures)).items():
        made = judge_set(anonymize(originals.images, originals.alignment), networks, args.cache, originals)
        results[name] = evaluate(made, originals, networks, expression)
    print(table(results, networks))
    write_report(args.out, results)


if __name__ == "__main__":
    main()
