"""Which samples may be shared, which must be looked at, and why: views, saved in the dataset by reason."""

from __future__ import annotations

import fiftyone as fo
from fiftyone import ViewField as F
from fiftyone.core.collections import SampleCollection
from fiftyone.core.expressions import ViewExpression

from fo_faceanon.errors import HostError
from fo_faceanon.host import fields
from fo_faceanon.host.candidates import dismiss_candidates, has_open_candidates
from fo_faceanon.host.session import require_images, root_dataset

_STATUS = f"{fields.STATUS}.status"
#: Statuses that a person may release after a look; ``failed`` is never among them.
REVIEWABLE = ("needs_review", "no_faces")
#: Error of the 51 inner landmarks, in eye distances, above which an expression counts as changed: twice the paper's mean (.0318).
EXPRESSION_LIMIT = 0.06
#: Si-MSE above which light counts as changed: about the mean of the eight other methods in the paper's Table IV (.053).
LIGHT_LIMIT = 0.05
#: CIEDE2000 between mean skin colours above which a skin tone counts as changed: a difference that is seen without comparing.
TONE_LIMIT = 5.0


def releasable() -> ViewExpression:
    """The positive condition: verified, or looked at by a person; and with anonymized media. Missing values do not fulfil it."""
    verified = F(_STATUS) == "ok"
    reviewed = F(_STATUS).is_in(list(REVIEWABLE)) & (F(f"{fields.STATUS}.reviewed") == True)  # noqa: E712
    return (verified | reviewed) & (F(fields.MEDIA) > "") & (F(f"{fields.STATUS}.output_sha256") > "")


def reviewable() -> ViewExpression:
    """What a person may release: it waits for a look, and there is an anonymized picture to look at."""
    return F(_STATUS).is_in(list(REVIEWABLE)) & (F(fields.MEDIA) > "")


def ready(samples: SampleCollection | str) -> fo.DatasetView:
    """The samples that an export takes, as far as their fields say; the export checks the files as well."""
    return require_images(samples).match(releasable())


def failures(samples: SampleCollection | str) -> fo.DatasetView:
    """Everything else: failed, to be looked at, never processed. The complement, so that nothing falls between."""
    return require_images(samples).match(~releasable())


def mark_reviewed(samples: SampleCollection | str, reviewed: bool = True) -> int:
    """Records that a person looked at these samples and releases them (or takes that back).

    Only samples that wait for a look are marked; failed ones and ones without anonymized media never are.

    Returns:
        How many samples were marked.

    Raises:
        HostError: the dataset was never anonymized.
    """
    samples = require_images(samples)
    dataset = root_dataset(samples)
    if not fields.is_ours(dataset, fields.STATUS):
        raise HostError(f"the dataset '{dataset.name}' was not anonymized yet: run fo_faceanon.anonymize(dataset) first")
    waiting = dataset.select(list(samples.values("id"))).match(reviewable())
    ids = waiting.values("id")
    if ids:
        dataset.set_values(f"{fields.STATUS}.reviewed", dict.fromkeys(ids, reviewed), key_field="id")
        dismiss_candidates(dataset, ids, reviewed)
    return len(ids)


def save_views(dataset: fo.Dataset) -> None:
    """Saves a view per reason to look, and one of what is ready to export."""
    faces = F(f"{fields.FACES}.detections")
    fallback = faces.filter(F("action").is_in(["retried", "filled", "failed"])).length() > 0
    conditions = {
        "re-identifiable": (F(f"{fields.STATUS}.reidentified") == True, "a recogniser still takes a face for its original"),  # noqa: E712
        "fallback used": (fallback, "a face needed another donor, another method or a fill"),
        "no face found": (F(_STATUS) == "no_faces", "a claim by the detectors, not a proof: look before sharing"),
        "failed": (F(_STATUS) == "failed", "no anonymized picture; the reason says why"),
        "missed face": (has_open_candidates(), "a second look at the original found a place that may be a face (find_missed_faces)"),
        "stale": (F(_STATUS) == fields.STALE, "picture, faces or consent changed since: anonymize again"),
        "pending": (F(_STATUS) == fields.PENDING, "a person marked a face that was missed: anonymize again"),
        "needs review": (F(_STATUS) == "needs_review", "anonymized, but a person should look"),
        "ready to export": (releasable(), "verified, or reviewed by a person"),
    }
    _save(dataset, conditions)


def save_change_views(dataset: fo.Dataset) -> None:
    """Saves a view per thing that an anonymizer should have kept and did not, by the figures of :func:`fo_faceanon.evaluate`.

    Samples that were not evaluated are in none of them; a face in which no landmarks are found any more has lost its expression.
    """
    worst = {name: F(f"{fields.STATUS}.{name}") for name in ("detected", "expression_error", "si_mse", "tone_delta_e")}
    expression = (worst["expression_error"] > EXPRESSION_LIMIT) | (worst["detected"] == False)  # noqa: E712
    said = f"landmarks of brows, eyes, nose and mouth are off by more than {EXPRESSION_LIMIT:g} eye distances, or no face is found"
    conditions = {
        "expression changed": (expression, said),
        "light changed": (worst["si_mse"] > LIGHT_LIMIT, f"Si-MSE above {LIGHT_LIMIT:g}"),
        "skin tone changed": (worst["tone_delta_e"] > TONE_LIMIT, f"mean skin colour is off by more than {TONE_LIMIT:g} (CIEDE2000)"),
    }
    _save(dataset, conditions)


def _save(dataset: fo.Dataset, conditions: dict[str, tuple[ViewExpression, str]]) -> None:
    for name, (condition, description) in conditions.items():
        dataset.save_view(f"faceanon: {name}", dataset.match(condition), description=description, overwrite=True)
