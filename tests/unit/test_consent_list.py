"""Consent lists: what they may look like, and that doubt is no consent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fo_faceanon.errors import InputError
from fo_faceanon.host.consent_list import read_consent_list


def test_csv_with_people_labels_and_boxes(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "\ufeffPerson,label,file,x,y,width,height,consent\nAda,,,,,,,\n,64b1,,,,,,yes\n,,a.jpg,.1,.2,.3,.4,1\n,,,,,,,\nBob,,,,,,,no\n"
    )
    listed = read_consent_list(path)
    assert (listed.people, listed.labels, listed.boxes) == ({"Ada"}, {"64b1"}, {"a.jpg": [(0.1, 0.2, 0.3, 0.4)]}) and len(listed) == 3


def test_json_with_names_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(["Ada", {"person": "Bob", "consent": False}, {"label": "64b1", "consent": True}]))
    listed = read_consent_list(path)
    assert listed.people == {"Ada"} and listed.labels == {"64b1"}


def test_no_wins_where_rows_differ(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("person,consent\nAda,yes\nAda,no\nBob,yes\n")
    assert read_consent_list(path).people == {"Bob"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "person,consent\nAda,perhaps\n", "row 2 .*yes or no"),
        ("a.csv", "name\nAda\n", "row 2 .*names nobody"),
        ("a.csv", "file,x,y,width,height\na.jpg,1,2,30,40\n", "parts of the picture"),
        ("a.csv", "file,x\na.jpg,1\n", "must be numbers"),
        ("a.json", '{"people": []}', "cannot be read"),
        ("a.json", "[1]", "row 1 .*object or a name"),
        ("a.json", "[", "cannot be read"),
    ],
)
def test_anything_else_is_refused_with_its_place(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        read_consent_list(tmp_path / name)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv cannot be read"):
        read_consent_list(tmp_path / "none.csv")
