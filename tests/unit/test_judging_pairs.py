"""Which file is paired with which, and that nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from fo_faceanon.errors import InputError
from fo_faceanon.judging.pairs import NO_ORIGINAL, NO_PARTNER, NOT_A_PICTURE, NOT_WRITTEN, TWICE, pair_folders


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    root.mkdir(exist_ok=True)
    return root


def names(pairs: list) -> list[tuple[str, str]]:
    return [(pair.key, pair.anonymized.name) for pair in pairs]


def test_by_path_without_suffix(tmp_path: Path) -> None:
    original = tree(tmp_path / "a", "x/1.jpg", "x/2.PNG", "y/1.webp", "lost.jpg")
    other = tree(tmp_path / "b", "x/1.png", "x/2.jpg", "y/1.webp", "extra.png", "notes.txt")
    pairing = pair_folders(original, other, people="folder")
    assert names(pairing.pairs) == [("x/1.jpg", "1.png"), ("x/2.PNG", "2.jpg"), ("y/1.webp", "1.webp")]
    assert [pair.person for pair in pairing.pairs] == ["x", "x", "y"]
    assert pairing.problems == {NO_PARTNER: ["lost.jpg"], NO_ORIGINAL: ["extra.png"], NOT_A_PICTURE: ["notes.txt"]}


def test_people_are_unknown_unless_asked_for_and_outside_of_folders(tmp_path: Path) -> None:
    original, other = tree(tmp_path / "a", "x/1.jpg", "2.jpg"), tree(tmp_path / "b", "x/1.jpg", "2.jpg")
    assert [pair.person for pair in pair_folders(original, other).pairs] == [None, None]
    assert [pair.person for pair in pair_folders(original, other, people="folder").pairs] == [None, "x"]


def test_a_stem_that_is_there_twice_pairs_only_by_its_whole_name(tmp_path: Path) -> None:
    original = tree(tmp_path / "a", "1.jpg", "1.png", "2.jpg", "2.png", "3.jpg")
    other = tree(tmp_path / "b", "1.jpg", "1.png", "2.webp", "3.png", "3.webp")
    pairing = pair_folders(original, other)
    assert names(pairing.pairs) == [("1.jpg", "1.jpg"), ("1.png", "1.png")]
    assert pairing.problems[TWICE] == ["2.jpg", "2.png", "3.jpg"]
    assert pairing.problems[NO_ORIGINAL] == ["2.webp", "3.png", "3.webp"]


def test_neutral_names_are_paired_by_the_mapping_beside_the_folder(tmp_path: Path) -> None:
    original = tree(tmp_path / "a", "Ann/1.jpg", "Bob/1.jpg", "Bob/2.jpg", "Bob/3.jpg")
    other = tree(tmp_path / "b", "qq/zz.jpg", "qq/yy.png")
    tree(tmp_path / "b.faceanon")
    (tmp_path / "b.faceanon" / "mapping.csv").write_text(
        "source,output,status\nAnn/1.jpg,qq/zz.jpg,ok\nBob/1.jpg,,failed\nBob/2.jpg,gone.png,ok\n"
    )
    pairing = pair_folders(original, other)
    assert names(pairing.pairs) == [("Ann/1.jpg", "zz.jpg")]
    assert pairing.problems == {NOT_WRITTEN: ["Bob/1.jpg"], NO_PARTNER: ["Bob/2.jpg", "Bob/3.jpg"], NO_ORIGINAL: ["qq/yy.png"]}


def test_the_mapping_of_another_folder_does_not_count(tmp_path: Path) -> None:
    original, other = tree(tmp_path / "a", "1.jpg"), tree(tmp_path / "b", "1.png")
    tree(tmp_path / "b.faceanon")
    (tmp_path / "b.faceanon" / "mapping.csv").write_text("source,output,status\nelse.jpg,1.png,ok\n")
    assert names(pair_folders(original, other).pairs) == [("1.jpg", "1.png")]


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [(["1.jpg"], ["2.jpg"], "mapping.csv"), ([], ["1.jpg"], "holds no pictures"), (["1.txt"], ["1.jpg"], "holds no pictures")],
)
def test_folders_that_cannot_be_paired_are_refused(tmp_path: Path, theirs: list[str], ours: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        pair_folders(tree(tmp_path / "a", *theirs), tree(tmp_path / "b", *ours))


def test_folders_within_each_other_or_not_there_are_refused(tmp_path: Path) -> None:
    original = tree(tmp_path / "a", "1.jpg", "b/1.jpg")
    with pytest.raises(InputError, match="within each other"):
        pair_folders(original, original / "b")
    with pytest.raises(InputError, match="not a folder"):
        pair_folders(original, tmp_path / "nothing")
    assert len(pair_folders(original, original).pairs) == 2  # the identity, for a check
