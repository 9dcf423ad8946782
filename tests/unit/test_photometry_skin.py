"""Masks from landmarks, and the feather: against SciPy's distances and scikit-image's hulls."""

import math

import numpy as np
import pytest
import torch
from photometry_faces import canonical_landmarks
from scipy import ndimage
from skimage.morphology import convex_hull_image

from fo_faceanon.errors import InputError
from fo_faceanon.photometry.skin import face_masks, face_size, feather, forehead_points


def test_hull_is_the_convex_hull_of_landmarks_and_forehead():
    points = canonical_landmarks(300)
    seeds = np.zeros((300, 300), bool)
    for x, y in torch.cat([points[0], forehead_points(points)[0]]).round().long():
        seeds[y, x] = True
    reference = convex_hull_image(seeds)
    hull = face_masks(points, 300, 300).hull[0, 0].numpy() > 0.5
    assert (hull & reference).sum() / (hull | reference).sum() > 0.985


def test_hull_covers_every_landmark_even_when_the_far_jaw_folds_inside():
    points = canonical_landmarks(200)
    turned = points.clone()
    turned[:, :17, 0] = points[:, :17, 0].clamp(max=100)  # the far half of the jaw collapses into the face
    hull = face_masks(turned, 200, 200).hull
    x, y = turned[0].round().long().T
    assert torch.nn.functional.max_pool2d(hull, 3, 1, 1)[0, 0, y, x].min() >= 0.5  # positions are rounded


def test_skin_leaves_out_eyes_brows_and_mouth_and_keeps_the_cheeks():
    points = canonical_landmarks(256)
    masks = face_masks(points, 256, 256)
    x, y = points[0].round().long().T
    assert masks.skin[0, 0, y[17:27], x[17:27]].max() < 0.05
    assert masks.skin[0, 0, y[36:68], x[36:68]].max() < 0.05
    cheek = ((points[0, 3] + points[0, 31]) / 2).round().long()
    assert masks.skin[0, 0, cheek[1], cheek[0]] > 0.95
    assert (masks.skin <= masks.hull + 1e-6).all()


def test_masks_move_continuously_with_the_landmarks():
    points = canonical_landmarks(256)
    before, after = face_masks(points, 256, 256), face_masks(points + 0.05, 256, 256)
    assert (before.hull - after.hull).abs().max() < 0.1
    assert (before.skin - after.skin).abs().max() < 0.05


def test_masks_agree_across_scales():
    small, large = canonical_landmarks(128), canonical_landmarks(1024)
    reduced = torch.nn.functional.avg_pool2d(face_masks(large, 1024, 1024).skin, 8)
    assert (reduced - face_masks(small, 128, 128).skin).abs().max() < 0.12
    assert torch.allclose(face_size(large), 8 * face_size(small), rtol=0.02)


def test_faces_without_landmarks_get_empty_masks_and_do_not_spoil_the_batch():
    points = torch.cat([canonical_landmarks(96), torch.full((1, 68, 2), math.nan), torch.full((1, 68, 2), 5.0)])
    masks = face_masks(points, 96, 80)
    assert masks.hull.shape == masks.skin.shape == (3, 1, 96, 80)
    assert masks.hull.isfinite().all() and masks.skin.isfinite().all()
    assert masks.hull[0].sum() > 100 and masks.hull[1].sum() == 0
    assert torch.equal(masks.hull[:1], face_masks(points[:1], 96, 80).hull)


@pytest.mark.parametrize("radius", [0.0, 3.0, 9.5, 24.0, 60.0])
def test_feather_is_solid_inside_and_gone_beyond_its_radius(radius):
    hull = face_masks(canonical_landmarks(256) * 0.7 + 40, 256, 256).hull
    alpha = feather(hull, radius)
    outside = torch.from_numpy(ndimage.distance_transform_edt((hull[0, 0] < 0.5).numpy())).float()
    assert (alpha[0, 0][outside == 0] == 1).all()
    assert (alpha >= hull).all() or radius >= 1
    assert alpha[0, 0][outside > max(radius, 1)].sum() == 0
    if radius > 2:
        assert (alpha[..., 1:] - alpha[..., :-1]).abs().max() < 3.2 / radius + 0.05
        middle = alpha[0, 0][(outside > 0.4 * radius) & (outside < 0.6 * radius)]
        assert 0.2 < middle.mean() < 0.7


def test_feather_follows_the_exact_distance():
    mask = torch.zeros(1, 1, 61, 47)
    mask[0, 0, 20:30, 15:22] = 1
    mask[0, 0, 50, 40] = 1
    t = np.clip(ndimage.distance_transform_edt(mask[0, 0].numpy() == 0) / 8, 0, 1)
    np.testing.assert_allclose(feather(mask, 8.0)[0, 0].numpy(), 1 - t * t * (3 - 2 * t), atol=1e-5)


def test_faults_are_named():
    with pytest.raises(InputError, match="B x 68 x 2"):
        face_masks(torch.zeros(2, 5, 2), 10, 10)
    with pytest.raises(InputError, match="B x 1 x H x W"):
        feather(torch.zeros(3, 4), 2)
    with pytest.raises(InputError, match="radius"):
        feather(torch.zeros(1, 1, 4, 4), -1)
