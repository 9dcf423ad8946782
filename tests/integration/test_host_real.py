"""The real engine, detectors and checks, once through: photographs in, fields and an export out."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import numpy as np
import skimage.data
from PIL import Image

from fo_faceanon.host.evaluate import evaluate
from fo_faceanon.host.export import export_safe_split
from fo_faceanon.host.runner import anonymize
from fo_faceanon.host.views import mark_reviewed, ready


def test_photographs_masked_and_exported(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(skimage.data.astronaut()[:256, 96:352]).save(folder / "Eileen Collins.jpg", quality=95)
    Image.fromarray(skimage.data.coins()[:128, :128]).save(folder / "coins.png")
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=str(p)) for p in sorted(folder.iterdir())], progress=False)
    report = anonymize(dataset, method="mask", workers=1, progress=False, output_dir=tmp_path / "out")
    assert report.adds_up and dataset.values("faceanon.status") == ["ok", "no_faces"]
    assert len(ready(dataset)) == 1 and mark_reviewed(dataset) == 1
    face = max(dataset.first().faces.detections, key=lambda d: d.confidence)
    x, y, width, height = np.array(face.bounding_box) * 256
    assert 60 < x + width / 2 < 190 and 60 < y + height / 2 < 180 and width > 50  # where she is
    inside = np.asarray(Image.open(dataset.first().anonymized_filepath))[
        int(y + height / 3) : int(y + height / 2), int(x + width / 3) : int(x + width / 2)
    ]
    assert inside.std(axis=(0, 1)).max() < 6  # a flat fill
    assert export_safe_split(dataset, tmp_path / "split").exported == 2
    assert not any(b"Collins" in p.read_bytes() for p in (tmp_path / "split").rglob("*") if p.is_file())


def test_a_photograph_anonymized_and_measured(tmp_path: Path) -> None:
    path = tmp_path / "in" / "astronaut.png"
    path.parent.mkdir()
    Image.fromarray(skimage.data.astronaut()[:320, 64:384]).save(path)
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath=str(path)))
    anonymize(dataset, method="pixelate", workers=1, progress=False, output_dir=tmp_path / "out")
    values = evaluate(dataset, workers=1, recognisers=["dlib"], floor=False, report=tmp_path / "report.html")
    face = max(dataset.first().faces.detections, key=lambda d: d.confidence)
    assert values["counts"]["measured"] == 1 and values["counts"]["faces"] >= 1 and values["problems"] == {}
    assert face["si_mse"] > 0 and face["delta_e"] > 0 and isinstance(face["detected"], bool) and face["reidentified_dlib"] in (True, False)
    assert dataset.first().faceanon["delta_e"] >= face["delta_e"]
    assert "withheld" in (tmp_path / "report.html").read_text("utf-8")  # one face is too few for any mean
