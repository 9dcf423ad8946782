"""A consent list becomes an attribute of labels; what it changes must be anonymized again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
import pytest
from host_tools import FAST, make_dataset

from fo_faceanon.errors import FaceAnonError, HostError, InputError
from fo_faceanon.host.consent_import import import_consent
from fo_faceanon.host.export import export_safe_split
from fo_faceanon.host.runner import anonymize

LIST: dict[str, Any] = {"faces_field": "people", "person_field": "person"}


@pytest.fixture
def dataset(tmp_path: Path) -> fo.Dataset:
    dataset = make_dataset(tmp_path / "in", ["face"] * 3)
    boxes = {"ada": [0.1, 0.1, 0.3, 0.4], "bob": [0.6, 0.1, 0.3, 0.4]}
    pictures = (("ada", "bob"), ("bob",), ("ada",))
    labels = [[fo.Detection(label="x", bounding_box=boxes[who], person=who) for who in names] for names in pictures]
    dataset.set_values("people", [fo.Detections(detections=row) for row in labels], dynamic=True)
    return dataset


def consents(dataset: fo.Dataset) -> list[list[bool]]:
    return dataset.values("people.detections.consent")


def test_people_on_the_list_and_nobody_else(dataset: fo.Dataset) -> None:
    dry = import_consent(dataset, ["ada", "eve"], **LIST, dry_run=True)
    assert (dry.labels, dry.consenting, dry.granted, dry.not_found) == (4, 2, 2, ["eve"]) and "recognisable" in dry.warning
    assert not dataset.has_field("people.detections.consent")
    report = import_consent(dataset, ["ada", "eve"], **LIST)
    assert (report.granted, report.withdrawn, report.stale) == (2, 0, 0)
    assert consents(dataset) == [[True, False], [False], [True]]
    assert anonymize(dataset, **FAST, faces_field="people", keep_field="consent").faces == {"kept": 2, "generated": 2}


def test_withdrawn_consent_is_stale_at_once(dataset: fo.Dataset, tmp_path: Path) -> None:
    import_consent(dataset, ["ada"], **LIST)
    anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    assert import_consent(dataset, ["ada"], **LIST).stale == 0  # nothing changed
    report = import_consent(dataset, [], **LIST)
    assert (report.withdrawn, report.consenting, report.stale) == (2, 0, 2)
    assert dataset.values("faceanon.status") == ["stale", "ok", "stale"]
    assert export_safe_split(dataset, tmp_path / "x", dry_run=True).exported == 1
    assert anonymize(dataset, **FAST, faces_field="people", keep_field="consent").faces == {"generated": 4}


def test_labels_and_boxes_from_a_file(dataset: fo.Dataset, tmp_path: Path) -> None:
    label = dataset.last().people.detections[0]
    (tmp_path / "list.csv").write_text(
        f"label,file,x,y,width,height\n{label.id},,,,,\n,person-0000.png,.58,.1,.3,.4\n,person-0001.png,.1,.1,.2,.2\n,other.png,.1,.1,.2,.2\n"
    )
    report = import_consent(dataset, faces_field="people", source=tmp_path / "list.csv")
    assert consents(dataset) == [[False, True], [False], [True]] and report.not_found == ["other.png", "person-0001.png"]


def test_consent_on_our_own_faces(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    anonymize(dataset, **FAST)
    face = dataset.first().faces.detections[0].id
    assert import_consent(dataset, faces_field="faces", labels=[face]).granted == 1
    assert anonymize(dataset, **FAST, faces_field="faces", keep_field="consent").faces == {"kept": 1, "generated": 1}


@pytest.mark.parametrize(
    ("kind", "words", "change"),
    [
        (HostError, "Detections field", {"faces_field": "nothing"}),
        (HostError, "person_field", {"person_field": None}),
        (HostError, "no attribute 'who'", {"person_field": "who"}),
        (HostError, "not true or false", {"consent_field": "person"}),
        (HostError, "new attribute", {"consent_field": "label"}),
        (InputError, "list is needed", {"people": None}),
        (InputError, "single text", {"people": "ada"}),
        (InputError, "cannot be read", {"source": "nowhere.csv"}),
    ],
)
def test_refusals_change_nothing(dataset: fo.Dataset, kind: type[FaceAnonError], words: str, change: dict[str, Any]) -> None:
    before = dataset.get_field_schema(flat=True)
    with pytest.raises(kind, match=words):
        import_consent(dataset, **{"people": ["ada"], **LIST, **change})
    assert dataset.get_field_schema(flat=True) == before
