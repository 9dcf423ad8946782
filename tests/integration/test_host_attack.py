"""``fa.attack``: which pairs and people it hands over, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import fiftyone as fo
import pytest

import fo_faceanon as fa
from fo_faceanon.errors import HostError
from fo_faceanon.host import attack as host

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def dataset() -> Iterator[fo.Dataset]:
    data = fo.Dataset()
    yield data
    data.delete()


def add(data: fo.Dataset, count: int = 3) -> None:
    data.add_samples([fo.Sample(filepath=f"/pictures/{i}.jpg") for i in range(count)])


def test_pairs_and_people(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    add(dataset)
    dataset.set_values("anonymized_filepath", ["/anon/0.jpg", None, "/anon/2.jpg"])
    dataset.set_values("who", [fo.Classification(label="Ann"), None, None])
    seen: dict[str, Any] = {}
    report = SimpleNamespace(problems={"cannot be read": ["x"]})
    monkeypatch.setattr(host, "attack_pairs", lambda pairs, **options: seen.update(options, pairs=pairs) or report)
    assert fa.attack(dataset, people="who", parrot=False, cache="kept") is report
    ids = dataset.values("id")
    assert [(p.key, str(p.original), str(p.anonymized), p.person) for p in seen["pairs"]] == [
        (ids[0], "/pictures/0.jpg", "/anon/0.jpg", "Ann"),
        (ids[2], "/pictures/2.jpg", "/anon/2.jpg", None),
    ]
    assert seen["parrot"] is False and seen["inversion"] is True and str(seen["cache"]) == "kept"
    assert report.problems == {host.NO_MEDIA: [ids[1]], "cannot be read": ["x"]}


def test_refusals(dataset: fo.Dataset) -> None:
    add(dataset)
    with pytest.raises(HostError, match="never anonymized"):
        fa.attack(dataset)
    dataset.add_sample_field("anonymized_filepath", fo.StringField)
    with pytest.raises(HostError, match="none of 3 samples has an anonymized picture"):
        fa.attack(dataset)
    with pytest.raises(HostError, match="no field 'who'"):
        fa.attack(dataset, people="who")
