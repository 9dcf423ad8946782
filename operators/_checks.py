"""What every form looks at first: is there anything to work on, and may it be worked on now."""

from __future__ import annotations

import os
import re

from . import _forms

#: Pictures whose files are looked for; a form must open at once.
_LOOKED_FOR = 5
#: How paths into the cloud look after FiftyOne made them absolute.
_CLOUD = re.compile(r"(^|/)(s3|gs|az|azure|minio|https?):/")


def ready(ctx, inputs, samples=None, anonymized=False, writes=True):
    """True where the form can go on; else it says what is wrong and what to do, and cannot be executed.

    Args:
        ctx: of the operator.
        inputs: the form.
        samples: a function that gives what the operator would work on; the target view by default.
        anonymized: whether the dataset must have been anonymized.
        writes: whether another run on the dataset stands in the way.
    """
    if _forms.package_missing(inputs):
        return False
    fault = _fault(ctx, samples or ctx.target_view, anonymized, writes)
    if fault:
        _forms.refuse(inputs, "blocked", fault)
    return fault is None


def _fault(ctx, samples, anonymized, writes):
    from fo_faceanon.errors import HostError
    from fo_faceanon.host.fields import STATUS, is_ours
    from fo_faceanon.host.lock import holder
    from fo_faceanon.host.session import require_images

    if ctx.dataset is None:
        return "Open a dataset first"
    if len(ctx.dataset) == 0:
        return "The dataset is empty: add pictures first"
    try:
        view = require_images(samples())
    except HostError as error:
        return str(error)
    if anonymized and not is_ours(ctx.dataset, STATUS):
        return "This dataset was not anonymized yet: run Anonymize faces first"
    if len(view) == 0:
        return "There is no sample to work on: the view or the selection is empty"
    other = holder(ctx.dataset) if writes else None
    if other:
        return f"Another run is working on this dataset ({other}): wait until it is done, or stop it"
    return _missing_media(view)


def _missing_media(view):
    """A fault where none of the first pictures is on this machine; single missing files are counted by the run."""
    paths = [path or "" for path in view.limit(_LOOKED_FOR).values("filepath")]
    if any(os.path.isfile(path) for path in paths):
        return None
    if any(_CLOUD.search(path) for path in paths):
        return "The pictures are in the cloud: bring them to this machine first, and point the dataset's filepath at them"
    return f"None of the first {len(paths)} pictures is on this machine: mount or copy the media to where the dataset looks for it"


def selected_faces(ctx, field):
    """Sample ids and label ids of the labels of one field that are selected in the App."""
    chosen = [label for label in ctx.selected_labels or [] if label["field"] == field]
    return sorted({label["sample_id"] for label in chosen}), [label["label_id"] for label in chosen]


def selection(ctx, field):
    """The samples that a person means: those of the selected labels of a field, else the selected ones, else the one that is open; None
    where there is none."""
    samples, _ = selected_faces(ctx, field)
    chosen = samples or list(ctx.selected or ()) or ([ctx.current_sample] if ctx.current_sample else [])
    return ctx.dataset.select(chosen) if chosen and ctx.dataset is not None else None
