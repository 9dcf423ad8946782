"""The judge, and judging many pairs: what is found, what is counted, and that processes change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from judging_pictures import portrait, save
from process_fakes import make_double

from fo_faceanon.errors import FaceAnonError, InputError
from fo_faceanon.judging.faces import Judge, JudgedFace, faces_to_judge, match, match_all, unsteadiness
from fo_faceanon.judging.judged import FAULT, NO_FACE, OTHER_SIZE, UNREADABLE, judge_pairs
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.judging.processes import Died, map_processes

MARKS = np.zeros((68, 2), np.float32)


def face(*box: float, score: float = 1.0) -> JudgedFace:
    return JudgedFace((box[0], box[1], box[2], box[3]), score, MARKS)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge("cpu")


def test_the_judge_finds_faces_with_landmarks_inside(judge: Judge) -> None:
    two = np.concatenate([portrait(0), portrait(1)], 1)
    both, none, tiny = judge.faces([two, np.full((200, 300, 3), 90, np.uint8), two[:15, :15]])
    assert len(both) == 2 and none == tiny == []
    for found in both:
        inside = (found.landmarks > np.array(found.box[:2]) - 20) & (found.landmarks < np.array(found.box[2:]) + 20)
        assert found.landmarks.shape == (68, 2) and found.landmarks.dtype == np.float32 and inside.all() and found.score > 0.9


def test_landmarks_of_seven_boxes_hold_on_to_a_face_and_not_to_a_wall(judge: Judge) -> None:
    (found,) = judge.faces([portrait(0)])[0]
    assert unsteadiness(judge.seven(portrait(0), found.landmarks)) < 0.03
    wall = np.full((256, 256, 3), 120, np.uint8)
    assert unsteadiness(judge.seven(wall, found.landmarks)) > 0.03


def test_a_face_is_matched_where_it_was_and_only_once() -> None:
    old = [face(0, 0, 100, 100), face(40, 0, 140, 100), face(500, 500, 600, 600)]
    new = [face(30, 0, 130, 100)]
    assert match_all(new, old) == [None, new[0], None]
    assert match(new, old[0]) is new[0] and match(new, old[2]) is None and match([], old[0]) is None


def test_only_sure_faces_count_and_the_main_one_is_large_and_central() -> None:
    faces = [face(0, 0, 60, 60), face(200, 200, 260, 260), face(210, 0, 228, 60), face(0, 200, 90, 290, score=0.8)]
    assert faces_to_judge(faces, 460, 460) == faces[:2]
    assert faces_to_judge(faces, 460, 460, main_face_only=True) == [faces[1]]
    assert faces_to_judge([], 460, 460, main_face_only=True) == []


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """An unchanged one, one with the face painted over, another size, no face, text for a picture, and one to be judged alone."""
    root = tmp_path_factory.mktemp("pairs")
    painted = portrait(1).copy()
    painted[30:230, 30:230] = 120
    wall = np.full((128, 128, 3), 90, np.uint8)
    (root / "text.jpg").write_text("no picture")
    made = {
        "same": (portrait(0), portrait(0)),
        "painted": (portrait(1), painted),
        "size": (portrait(2), portrait(2)[:-1]),
        "wall": (wall, wall),
    }
    result = [Pair(key, save(root / f"{key}.png", a), save(root / f"{key}_anon.png", b), key[0]) for key, (a, b) in made.items()]
    return [*result, Pair("text", result[0].original, root / "text.jpg"), Pair("alone", result[0].original)]


def test_pairs_become_rows_and_what_fails_is_named(pairs: list[Pair], tmp_path: Path) -> None:
    counted: list[int] = []
    judged = judge_pairs(pairs, ["dlib"], "cpu", 1, tmp_path / "cache", lambda done, total: counted.append(done))
    assert judged.keys == ["same", "painted", "alone"] and judged.people == ["s", "p", None] and judged.pictures.tolist() == [2, 1, 0]
    assert judged.detected.tolist() == [True, False, True] and judged.unchanged.tolist() == [True, False, True]
    assert np.isnan(judged.landmarks_after[1]).all() and np.isfinite(judged.landmarks_after[0]).all()
    cosines = (judged.before["dlib"] * judged.after["dlib"]).sum(1)
    assert cosines[[0, 2]] == pytest.approx(1, abs=1e-5) and cosines[1] < 0.9  # attacked with the original's alignment
    assert {reason: len(names) for reason, names in judged.problems.items()} == {OTHER_SIZE: 1, NO_FACE: 1, UNREADABLE: 1}
    assert "256 x 255" in judged.problems[OTHER_SIZE][0] and judged.problems[UNREADABLE][0].startswith("text: ")
    assert counted == list(range(1, 7))
    again = judge_pairs(pairs, ["dlib"], "cpu", 1, tmp_path / "cache")
    assert np.array_equal(again.before["dlib"], judged.before["dlib"]) and np.array_equal(again.landmarks, judged.landmarks)


def test_what_is_remembered_is_used_and_damage_is_made_good(pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = judge_pairs(pairs[:1], ["dlib"], "cpu", 1, tmp_path)
    (entry,) = tmp_path.iterdir()
    calls: list[int] = []
    plain = Judge.faces
    monkeypatch.setattr(Judge, "faces", lambda self, images: calls.append(len(images)) or plain(self, images))
    judge_pairs(pairs[:1], ["dlib"], "cpu", 1, tmp_path)
    assert len(calls) == 1  # the anonymized picture only
    entry.write_bytes(entry.read_bytes()[:-200])
    again = judge_pairs(pairs[:1], ["dlib"], "cpu", 1, tmp_path)
    assert len(calls) == 3 and np.array_equal(again.before["dlib"], first.before["dlib"])


def test_processes_change_nothing(pairs: list[Pair]) -> None:
    one, two = (judge_pairs(pairs, ["dlib"], "cpu", workers) for workers in (1, 2))
    for name in ("boxes", "landmarks", "landmarks_after", "detected"):
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True)
    assert np.array_equal(one.after["dlib"], two.after["dlib"]) and one.problems == two.problems


def paint(image: np.ndarray, faces: list[JudgedFace]) -> np.ndarray:
    x0, y0, x1, y1 = (int(value) for value in faces[0].box)
    result = image.copy()
    result[max(y0, 0) : y1, max(x0, 0) : x1] = 100
    return result


def broken(image: np.ndarray, faces: list[JudgedFace]) -> np.ndarray:
    raise ValueError("no idea")


def test_a_control_takes_the_place_of_the_anonymized_pictures(pairs: list[Pair]) -> None:
    judged = judge_pairs(pairs[:1], [], "cpu", 1, change=paint)
    assert judged.detected.tolist() == [False] and judged.unchanged.tolist() == [False] and judged.before == {}
    assert judge_pairs(pairs[:1], [], "cpu", 1, change=broken).problems == {FAULT: ["same: ValueError: no idea"]}


def test_no_pairs_give_no_rows() -> None:
    judged = judge_pairs([], ["dlib"], "cpu")
    assert len(judged) == 0 and judged.before["dlib"].shape == (0, 128) and judged.landmarks.shape == (0, 68, 2)
    with pytest.raises(InputError, match="no recogniser"):
        judge_pairs([], ["nobody"], "cpu")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_results_keep_their_order_and_failures_are_values(importable: None) -> None:
    items = [1, 2, 3, 4, 13, 6]
    one, two = (list(map_processes(make_double, 2, items[:4], workers)) for workers in (1, 2))
    assert [repr(value) for value in one] == [repr(value) for value in two] and isinstance(one[2], ZeroDivisionError)
    many = list(map_processes(make_double, 2, items, 2))
    assert isinstance(many[4], Died) and many[5] == 4  # a process that dies costs the item that killed it


def test_what_fails_at_the_start_is_raised(importable: None) -> None:
    with pytest.raises(FaceAnonError, match="no such setup"):
        list(map_processes(make_double, -1, [1, 2], 2))
