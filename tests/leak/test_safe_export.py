"""Secrets are planted wherever a dataset can hold one; then every byte of the export is searched for them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from host_tools import FAST, make_dataset, picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fo_faceanon.errors import ExportError
from fo_faceanon.host import export as export_module
from fo_faceanon.host.audit import Secrets, audit
from fo_faceanon.host.export import DATASET_TYPES, export_safe_split
from fo_faceanon.host.missed import hold
from fo_faceanon.host.redo import reanonymize
from fo_faceanon.host.review import mark_missed, undo
from fo_faceanon.host.runner import anonymize
from fo_faceanon.host.stale import refresh
from fo_faceanon.host.views import mark_reviewed
from fo_faceanon.images import metadata_residue

SECRET = "Zaphod"
LABELS = {"COCODetectionDataset": "objects", "ImageClassificationDirectoryTree": "scene", "FiftyOneDataset": "objects"}


def plant_in_jpeg(path: Path, image: Image.Image) -> None:
    """EXIF with GPS, owner and a thumbnail of the original; XMP; a comment; bytes after the end."""
    thumb = io.BytesIO()
    image.resize((16, 16)).save(thumb, "JPEG", comment=f"{SECRET}-thumbnail")
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0xA430] = f"{SECRET}-description", f"{SECRET}-artist", f"{SECRET}-owner"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 5.0), 29: f"{SECRET}-gps"})
    data = io.BytesIO()
    xmp = f"<x:xmpmeta>{SECRET}-xmp</x:xmpmeta>".encode()
    image.save(data, "JPEG", quality=95, exif=exif, xmp=xmp, comment=f"{SECRET}-comment")
    path.write_bytes(data.getvalue() + f"{SECRET}-trailing".encode() + thumb.getvalue())


@pytest.fixture
def planted(tmp_path: Path) -> fo.Dataset:
    """An anonymized dataset of two JPEG and two PNG faces, one failure, one picture without a face, with secrets everywhere."""
    folder = tmp_path / f"{SECRET}-family" / f"{SECRET}-holiday"
    dataset = make_dataset(folder, ["face"] * 4 + ["bad", "empty"])
    for number, sample in enumerate(dataset.iter_samples(autosave=True)):
        old = Path(sample.filepath)
        new = folder / f"{SECRET}-portrait-{number}{'.jpg' if number < 2 else '.png'}"
        old.unlink()
        kind = ["face"] * 4 + ["bad", "empty"]
        if new.suffix == ".jpg":
            plant_in_jpeg(new, picture(number))
        else:
            info = PngInfo()
            info.add_text("Author", f"{SECRET}-png")
            picture(number, kind[number]).save(new, pnginfo=info)
        sample.filepath = str(new)
        sample.tags = [f"{SECRET}-tag"]
        sample["notes"] = f"{SECRET}-note"
        sample["embedding"] = np.arange(8.0)
        sample["scene"] = fo.Classification(label="indoor", who=f"{SECRET}-class", tags=[f"{SECRET}-ctag"])
        named = {"tags": [f"{SECRET}-dtag"], "owner": f"{SECRET}-det"}
        detection = fo.Detection(label="hat", bounding_box=[0.1, 0.1, 0.5, 0.5], confidence=0.5, **named)
        sample["objects"] = fo.Detections(detections=[detection])
    dataset.name = f"{SECRET}-dataset-{dataset.name}"
    dataset.info = {"contact": f"{SECRET}-info"}
    dataset.description, dataset.tags = f"{SECRET}-description", [f"{SECRET}-dataset-tag"]
    dataset.default_classes = ["hat", f"{SECRET}-class-list"]
    dataset.add_dynamic_sample_fields()
    dataset.compute_metadata()
    dataset.register_run("secret", dataset.init_run(who=f"{SECRET}-run"))
    dataset.save_view(f"{SECRET}-view", dataset.limit(1), description=f"{SECRET}")
    dataset.save()
    anonymize(dataset, **FAST)
    return dataset


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, those inside of archives too."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(folder))
            found[name] = path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    found |= {f"{name}!{inner}": archive.read(inner) for inner in archive.namelist()}
    return found


def secrets_of(dataset: fo.Dataset) -> list[str]:
    """What must not be found, beyond the planted word: ids, hashes, paths, the run."""
    status = ["run_key", "fingerprint", "source_sha256", "output_sha256"]
    values = [dataset.values(name) for name in ("id", "filepath", "anonymized_filepath", *(f"faceanon.{name}" for name in status))]
    labels = [v for n in ("objects.detections.id", "scene.id", "faces.detections.id") for v in dataset.values(n, unwind=True)]
    stems = [Path(p).stem for p in dataset.values("anonymized_filepath") if p]
    return [str(v) for column in values for v in column if v] + labels + stems + [str(dataset._doc.id), dataset.name]


@pytest.mark.parametrize("dataset_type", DATASET_TYPES)
def test_no_secret_in_any_byte(planted: fo.Dataset, tmp_path: Path, dataset_type: str) -> None:
    out = tmp_path / "shared" / "split"
    report = export_safe_split(planted, out, dataset_type, label_fields=LABELS.get(dataset_type))
    assert (report.considered, report.exported) == (6, 4)
    assert report.withheld == {"anonymization failed": 1, "no face found, and nobody looked yet": 1}
    files = contents(out)
    words = [SECRET, *secrets_of(planted), str(tmp_path), "person-0"]
    for name, data in files.items():
        for word in words:
            assert word.lower().encode() not in data.lower() and word.lower() not in name.lower(), (name, word)
            assert word.encode("utf-16-le") not in data
    pictures = [p for p in out.rglob("*") if p.suffix in (".jpg", ".png")]
    assert len(pictures) == 4 and all(metadata_residue(p) == [] for p in pictures)
    originals = [np.asarray(Image.open(p)) for p in planted.values("filepath")]
    for path in pictures:
        assert not any(np.array_equal(np.asarray(Image.open(path)), original) for original in originals)
    assert [p.name for p in out.parent.iterdir()] == ["split"]  # no temporary left
    assert all(not name.startswith("export_") for name in fo.list_datasets())


def test_the_export_opens_as_a_dataset(planted: fo.Dataset, tmp_path: Path) -> None:
    export_safe_split(planted, tmp_path / "split", label_fields=["objects", "scene"], attributes=["confidence"])
    again = fo.Dataset.from_dir(dataset_dir=str(tmp_path / "split"), dataset_type=fo.types.FiftyOneDataset, progress=False)
    assert len(again) == 4 and set(again.get_field_schema()) - set(fo.Dataset().get_field_schema()) == {"objects", "scene"}
    assert again.distinct("objects.detections.label") == ["hat"] and again.distinct("scene.label") == ["indoor"]
    assert again.distinct("objects.detections.confidence") == [0.5]
    sample = again.first()
    assert sample.tags == [] and sample.metadata is None and again.info == {} and again.list_runs() == []
    assert Path(sample.filepath).is_file()


def test_coco_and_tree_are_what_they_say(planted: fo.Dataset, tmp_path: Path) -> None:
    export_safe_split(planted, tmp_path / "coco", "COCODetectionDataset", label_fields="objects")
    coco = json.loads((tmp_path / "coco" / "labels.json").read_text())
    assert len(coco["images"]) == len(coco["annotations"]) == 4
    assert {c["name"] for c in coco["categories"]} == {"hat"}
    assert set(coco["annotations"][0]) <= {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "supercategory"}
    assert np.allclose(coco["annotations"][0]["bbox"], [6.4, 5.6, 32, 28])
    export_safe_split(planted, tmp_path / "tree", "ImageClassificationDirectoryTree", label_fields="scene")
    assert [p.name for p in (tmp_path / "tree").iterdir()] == ["indoor"] and len(list((tmp_path / "tree" / "indoor").iterdir())) == 4


def test_a_dry_run_counts_and_writes_nothing(planted: fo.Dataset, tmp_path: Path) -> None:
    before = sorted(p for p in tmp_path.rglob("*"))
    dry = export_safe_split(planted, tmp_path / "split", dry_run=True)
    assert sorted(p for p in tmp_path.rglob("*")) == before
    real = export_safe_split(planted, tmp_path / "split")
    assert (dry.considered, dry.exported, dry.withheld) == (real.considered, real.exported, real.withheld)


def test_doubt_withholds(planted: fo.Dataset, tmp_path: Path) -> None:
    ids, outputs, sources = (planted.values(n) for n in ("id", "anonymized_filepath", "filepath"))
    Path(outputs[0]).write_bytes(Path(sources[0]).read_bytes())  # the original put in place of the anonymized picture
    picture(77).save(sources[1], quality=90)  # the original changed
    Path(sources[2]).unlink()
    added = [*planted[ids[3]].faces.detections, fo.Detection(label="face", bounding_box=[0.6, 0.6, 0.2, 0.2])]
    planted.set_values("faces", {ids[3]: fo.Detections(detections=added)}, key_field="id")
    report = export_safe_split(planted, tmp_path / "split", dry_run=True)
    assert report.exported == 0 and report.considered == sum(report.withheld.values()) == 6
    text = " ".join(report.withheld)
    assert all(word in text for word in ("altered", "stale", "cannot be read", "was added", "failed", "nobody looked"))
    with pytest.raises(ExportError, match="nothing may be exported"):
        export_safe_split(planted, tmp_path / "split")
    assert not (tmp_path / "split").exists() and not list(tmp_path.glob(".*"))


def test_an_original_with_fitting_hashes_is_seen(planted: fo.Dataset, tmp_path: Path) -> None:
    """Somebody pointed the field at the original, and its hash with it: the pixels tell."""
    one = planted.limit(1)
    source, digest = one.values("filepath")[0], one.values("faceanon.source_sha256")[0]
    one.set_values("faceanon.output_sha256", [digest])
    one.set_values("anonymized_filepath", [source])
    report = export_safe_split(one, tmp_path / "split", dry_run=True)
    assert report.withheld == {"the anonymized picture shows the original": 1}


def test_reviewed_pictures_leave(planted: fo.Dataset, tmp_path: Path) -> None:
    assert mark_reviewed(planted) == 1
    assert export_safe_split(planted, tmp_path / "split", "ImageDirectory").exported == 5


@pytest.mark.parametrize("where", ["", "{family}", "{family}/{holiday}", "{family}/{holiday}/split"])
def test_never_near_the_originals(planted: fo.Dataset, tmp_path: Path, where: str) -> None:
    target = tmp_path / where.format(family=f"{SECRET}-family", holiday=f"{SECRET}-holiday")
    with pytest.raises(ExportError, match="choose a folder outside"):
        export_safe_split(planted, target, overwrite=True)


def test_existing_folders(planted: fo.Dataset, tmp_path: Path) -> None:
    out = tmp_path / "split"
    out.mkdir()
    export_safe_split(planted, out)  # empty: taken
    first = contents(out)
    with pytest.raises(ExportError, match="not empty"):
        export_safe_split(planted, out)
    export_safe_split(planted, out, "ImageDirectory", overwrite=True)
    assert len(contents(out)) == 4 and not set(first) & set(contents(out))
    (out / "thesis.docx").write_text("mine")
    with pytest.raises(ExportError, match=r"thesis\.docx"):
        export_safe_split(planted, out, overwrite=True)
    assert (out / "thesis.docx").exists()


def test_requests_that_cannot_be_met(planted: fo.Dataset, tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("dataset_type must be one of", {"dataset_type": "Zip"}),
        ("does not exist", {"label_fields": "nothing"}),
        ("another kind", {"label_fields": "notes"}),
        ("needs exactly one Detections", {"dataset_type": "COCODetectionDataset"}),
        ("needs exactly one Classification", {"dataset_type": "ImageClassificationDirectoryTree", "label_fields": "objects"}),
        ("pictures only", {"dataset_type": "ImageDirectory", "label_fields": "objects"}),
        ("never exported", {"label_fields": "objects", "attributes": ["tags", "mask_path"]}),
    ]
    for words, request in cases:
        with pytest.raises(ExportError, match=words):
            export_safe_split(planted, tmp_path / "split", **request)
    with pytest.raises(ExportError, match="not anonymized yet"):
        export_safe_split(make_dataset(tmp_path / "raw"), tmp_path / "split")
    assert not (tmp_path / "split").exists()


def test_class_names_cannot_leave_the_folder(planted: fo.Dataset, tmp_path: Path) -> None:
    planted.set_values("scene.label", ["../../escaped"] * 6)
    with pytest.raises(ExportError, match="folder names"):
        export_safe_split(planted, tmp_path / "a" / "split", "ImageClassificationDirectoryTree", label_fields="scene")
    assert not (tmp_path / "escaped").exists() and not list((tmp_path / "a").iterdir())


def test_a_name_in_an_exported_attribute_is_refused(planted: fo.Dataset, tmp_path: Path) -> None:
    stem = Path(planted.values("filepath")[0]).stem
    planted.set_values("objects.detections.owner", [[f"see {stem} for more"]] * 6)
    with pytest.raises(ExportError, match="would have named the source"):
        export_safe_split(planted, tmp_path / "split", label_fields="objects", attributes=["owner"])
    assert not (tmp_path / "split").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("stage", ["_export", "audit", "publish"])
def test_a_fault_leaves_nothing(planted: fo.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, stage, full)
    datasets = fo.list_datasets()
    with pytest.raises(ExportError, match="No space left"):
        export_safe_split(planted, tmp_path / "out" / "split")
    assert list((tmp_path / "out").iterdir()) == [] and fo.list_datasets() == datasets


@pytest.mark.parametrize("fault", ["unknown picture", "metadata", "path in json", "escaped name", "link", "missing picture"])
def test_the_audit_sees(tmp_path: Path, fault: str) -> None:
    """The second line, alone: each fault that the first one should have prevented."""
    good = tmp_path / "aa.png"
    picture(1).save(good)
    words = Secrets(allowed=["indoor"])
    words.add_path("/home/jürgen/holiday/Jürgen Müller 2020.jpg")
    written = {export_module.write_atomic(good, good.read_bytes())}
    (tmp_path / "labels.json").write_text(json.dumps({"a": ["indoor", "data/aa.png"]}))
    audit(tmp_path, written, words)
    if fault == "unknown picture":
        picture(2).save(tmp_path / "bb.png")
    elif fault == "metadata":
        info = PngInfo()
        info.add_text("k", "v")
        picture(1).save(good, pnginfo=info)
        written = {export_module.write_atomic(good, good.read_bytes())}
    elif fault == "path in json":
        (tmp_path / "labels.json").write_text(json.dumps({"x": {"/home/jürgen/holiday": 1}}))
    elif fault == "escaped name":
        (tmp_path / "labels.json").write_text(json.dumps(["in Jürgen Müller 2020, left"]))
    elif fault == "link":
        (tmp_path / "cc.png").symlink_to(good)
    else:
        written.add("0" * 64)
    with pytest.raises(ExportError):
        audit(tmp_path, written, words)


def test_consent_withdrawn_after_the_run_withholds(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    boxes = [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0.13, 0.21, 0.37, 0.41], consent=True)]) for _ in range(2)]
    dataset.set_values("people", boxes, dynamic=True)
    anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    assert export_safe_split(dataset, tmp_path / "split", dry_run=True).exported == 2
    dataset.set_values("people.detections.consent", [[False], [True]])
    report = export_safe_split(dataset, tmp_path / "split", dry_run=True)
    assert (report.exported, report.withheld) == (1, {"face labels or consent changed: anonymize again": 1})
    anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    assert export_safe_split(dataset, tmp_path / "split", dry_run=True).exported == 2
    dataset.delete_runs()
    assert export_safe_split(dataset, tmp_path / "split", dry_run=True).exported == 0


def exported_pixels(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".jpg")]


def test_what_review_took_back_never_leaves(tmp_path: Path) -> None:
    """A face that is marked as missed, a candidate, a changed original, an undone sample: each holds its picture back."""
    dataset = make_dataset(tmp_path / "in", ["face"] * 6)
    anonymize(dataset, **FAST)
    ids, originals = dataset.values(["id", "filepath"])
    mark_missed(dataset, {ids[0]: [[0.75, 0.1, 0.2, 0.3]]})
    hold(dataset, [ids[1]])
    picture(40).save(originals[2])
    refresh(dataset)
    undo(dataset.select([ids[3]]))
    dataset.set_values("faces.detections.bounding_box", {ids[4]: [[0.3, 0.3, 0.2, 0.2]]}, key_field="id")
    report = export_safe_split(dataset, tmp_path / "out", "ImageDirectory")
    assert report.exported == 1 and sum(report.withheld.values()) == 5
    (left,) = exported_pixels(tmp_path / "out")
    assert np.array_equal(left, np.asarray(Image.open(dataset[ids[5]].anonymized_filepath)))
    assert mark_reviewed(dataset) == 1  # of all of them, only the one that waits for a look can be released


def test_a_redone_picture_leaves_in_place_of_the_old_one(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / f"{SECRET}-in", ["face", "face"])
    anonymize(dataset, **FAST)
    old = np.asarray(Image.open(dataset.first().anonymized_filepath))
    reanonymize(dataset.limit(1), method="blur", factory=FAST["factory"], workers=1, progress=False)
    reanonymize(dataset.limit(1), seed=77, factory=FAST["factory"], workers=1, progress=False)
    new = np.asarray(Image.open(dataset.first().anonymized_filepath))
    assert not np.array_equal(old, new)
    export_safe_split(dataset, tmp_path / "out", label_fields="faces", attributes=["action", "asked_seed"])
    pictures = exported_pixels(tmp_path / "out")
    assert len(pictures) == 2 and any(np.array_equal(each, new) for each in pictures)
    assert not any(np.array_equal(each, old) for each in pictures)
    assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
