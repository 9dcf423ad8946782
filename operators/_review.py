"""The operators for a person's look: what to look at, and what is decided then."""

from __future__ import annotations

import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _checks, _forms, _steps

_EVERYTHING = "everything not ready to export"


class ShowFailures(foo.Operator):
    """Shows the samples that must be looked at before an export."""

    @property
    def config(self):
        return _config(
            name="show_failures",
            label="Show failures",
            description="Show the samples that are not ready to export, all or by reason",
            icon="report_problem",
            risk_level=types.RiskLevel.LOW,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if not _forms.package_missing(inputs):
            saved = [name for name in ctx.dataset.list_saved_views() if name.startswith("faceanon: ")]
            menu = _forms.choices([_EVERYTHING, *saved])
            inputs.enum("reason", menu.values(), default=_EVERYTHING, required=True, label="Show", view=menu)
            inputs.view("count", types.Notice(label=f"{_count(ctx)} samples"))
        return types.Property(inputs, view=types.View(label="Show failures"))

    def execute(self, ctx):
        _forms.require_package()
        view = _view(ctx)
        ctx.ops.set_view(view=view)
        return {"count": len(view)}

    def __call__(self, samples, reason=_EVERYTHING):
        """Counts from Python; the view itself is ``fo_faceanon.failures(samples)``."""
        return _forms.execute(self, samples, {"reason": reason})


class ReviewFaces(foo.Operator):
    """What a person decides after a look: accept, make again, fill, or a face was missed."""

    @property
    def config(self):
        return _config(
            name="review_faces",
            label="Review faces",
            description="Accept the selected samples, make their faces again, fill them, or mark a face that was missed",
            icon="fact_check",
            risk_level=types.RiskLevel.HIGH,
            execute_as_generator=True,
        )

    def resolve_placement(self, ctx):
        button = types.Button(label="Review faces", icon="fact_check", prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _selected(ctx, inputs):
            menu = _forms.choices(_ACTIONS, _ACTIONS.values())
            inputs.enum("action", menu.values(), default="accept", required=True, label="Decision", view=menu)
            _forms.hidden_list(inputs, "faces")
            _forms.hidden_list(inputs, "labels")
            _explain(ctx, inputs, ctx.params.get("action") or "accept")
        return types.Property(inputs, view=types.View(label="Review faces"))

    def execute(self, ctx):
        _forms.require_package()
        action = ctx.params["action"]
        yield from _steps.run(ctx, _decide(ctx, action), "samples", lambda result: _outcome(self, ctx, action, result))

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("done", label="Done", view=types.MarkdownView())
        outputs.str("next", label="Next", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label="Reviewed"))

    def __call__(self, samples, action="accept", faces=None, field=None, labels=None):
        """Decides from Python on the samples of a dataset or view.

        ``action``: accept, withdraw, redo, fill, missed. ``faces``: label ids, for redo and fill. ``field`` and ``labels``: where the
        missed faces are, and which of them.
        """
        params = {"action": action, "faces": list(faces or []), "labels": list(labels or []), **({"field": field} if field else {})}
        ctx = {"dataset": samples._root_dataset, "selected": samples.values("id"), "params": params}
        return foo.execute_operator(self.uri, ctx=ctx)


_ACTIONS = {
    "accept": "Accept: nobody can be recognised, and no face is left",
    "withdraw": "Withdraw an earlier acceptance",
    "redo": "Make the faces again, as others",
    "fill": "Paint the faces over",
    "missed": "A face was missed: mark it for the next run",
}


def _selected(ctx, inputs):
    if _forms.package_missing(inputs):
        return False
    from fo_faceanon.host.fields import FACES

    chosen = _checks.selection(ctx, FACES)
    if chosen is None:
        _forms.refuse(inputs, "none", "Select the samples that you looked at, or single faces in a sample, first")
        return False
    return _checks.ready(ctx, inputs, samples=lambda: chosen, anonymized=True)


def _target(ctx):
    """The samples and the faces that are meant; no faces for all of a sample's."""
    from fo_faceanon.host.fields import FACES

    faces = ctx.params.get("faces") or _checks.selected_faces(ctx, FACES)[1]
    return _checks.selection(ctx, FACES), faces or None


def _explain(ctx, inputs, action):
    """What the decision would do, in numbers."""
    samples, faces = _target(ctx)
    if action in ("accept", "withdraw"):
        words = _accept_words(samples, len(samples))
    elif action == "missed":
        words = _missed_inputs(ctx, inputs, samples)
    else:
        what = f"{_forms.count(_count_faces(samples, faces), 'face')} in {_forms.count(len(samples), 'sample')}"
        made = f"Makes {what} again, as others" if action == "redo" else f"Paints over {what}"
        words = f"{made}; all other faces stay as they are. A new picture needs a new look."
    if words:
        inputs.view("what", types.Notice(label=words))


def _accept_words(samples, total):
    from fo_faceanon.host.views import reviewable

    waiting = len(samples.match(reviewable()))
    other = "" if waiting == total else " The rest failed, waits for a run, or needs no review, and stays as it is."
    return f"Of {_forms.count(total, 'selected sample')}, {waiting} can be accepted: they wait for a look, or had one.{other}"


def _missed_inputs(ctx, inputs, samples):
    """Where the missed faces are; the words that say what would be marked."""
    import fiftyone as fo

    from fo_faceanon.host.candidates import CANDIDATES
    from fo_faceanon.host.fields import FACES

    fields = [name for name in _forms.fields_of(ctx.dataset, fo.Detections) if name != FACES]
    if not fields:
        _forms.refuse(
            inputs, "no_boxes", "Draw a box in a field of Detections first, or run Find missed faces. A box drawn in faces needs no marking"
        )
        return None
    default = CANDIDATES if CANDIDATES in fields else fields[0]
    menu = _forms.choices(fields)
    explain = "Every label of it in these samples is taken for a face, or only those that are selected"
    inputs.enum("field", menu.values(), default=default, required=True, label="Missed faces are in", description=explain, view=menu)
    labels = _missed_labels(ctx, ctx.params.get("field") or default)
    count = len(labels) if labels else sum(map(len, filter(None, samples.values(f"{ctx.params.get('field') or default}.detections.id"))))
    if not count:
        _forms.refuse(inputs, "no_labels", "These samples have no label in this field")
        return None
    return f"Marks {_forms.count(count, 'face')} for the next run. Their samples cannot be exported until Anonymize faces has run again."


def _missed_labels(ctx, field):
    return ctx.params.get("labels") or _checks.selected_faces(ctx, field)[1] or None


def _count_faces(samples, faces):
    if faces is not None:
        return len(faces)
    from fo_faceanon.host.fields import FACES

    return sum(map(len, filter(None, samples.values(f"{FACES}.detections.id"))))


def _decide(ctx, action):
    from fo_faceanon.host.redo import reanonymize_steps
    from fo_faceanon.host.review import mark_missed
    from fo_faceanon.host.views import mark_reviewed

    samples, faces = _target(ctx)
    if action in ("accept", "withdraw"):
        return _steps.at_once(lambda: mark_reviewed(samples, action == "accept"))
    if action == "missed":
        field = ctx.params["field"]
        return _steps.at_once(lambda: mark_missed(samples, field, labels=_missed_labels(ctx, field)))
    return reanonymize_steps(samples, faces=faces, fill=action == "fill", salt=ctx.secrets.get(_forms.SALT))


def _outcome(operator, ctx, action, result):
    if action in ("accept", "withdraw"):
        words = f"{_forms.count(result, 'sample')} {'accepted' if action == 'accept' else 'taken back'}"
        after = "Failed samples cannot be accepted." if action == "accept" else "They wait for a look again."
    elif action == "missed":
        words, after = (
            f"{_forms.count(result, 'face')} marked",
            "Run **Anonymize faces** again: it does these samples, and skips the others.",
        )
    else:
        words, after = _forms.redone(result)
    return words, operator.resolve_output(ctx), {"done": words, "next": after}


def _config(**more):
    """A form that follows what is chosen in it, without a choice of view: both operators know which samples they mean."""
    return foo.OperatorConfig(dynamic=True, view_target=False, **more)


def _view(ctx):
    from fo_faceanon.host.views import failures

    reason = ctx.params.get("reason") or _EVERYTHING
    return failures(ctx.dataset) if reason == _EVERYTHING else ctx.dataset.load_saved_view(reason)


def _count(ctx):
    try:
        return len(_view(ctx))
    except ValueError:  # the form of another dataset, whose view is not here
        return 0
