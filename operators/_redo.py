"""The operators that take something back: make faces again, undo, and find out what no longer fits."""

from __future__ import annotations

import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _checks, _forms, _steps

_WAYS = {
    "next": "Another face: the next seed",
    "seed": "A seed of your own",
    "method": "Another method",
    "fill": "Paint over",
}


class Reanonymize(foo.Operator):
    """Makes the selected samples, or the selected faces of a sample, again."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="reanonymize",
            label="Anonymize again",
            description="Make the selected samples or faces again, by another seed, another method or a fill; others stay as they are",
            icon="restart_alt",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            allow_immediate_execution=True,
            view_target=False,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _selected(ctx, inputs):
            _redo_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Anonymize again"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.redo import reanonymize_steps

        samples, faces = _target(ctx)
        steps = reanonymize_steps(samples, faces=faces, salt=ctx.secrets.get(_forms.SALT), device=ctx.params["device"], **_change(ctx))
        yield from _steps.run(ctx, steps, "samples", lambda report: _redone(self, ctx, report))

    def resolve_output(self, ctx):
        return _output("Made again")

    def __call__(self, samples, faces=None, seed=None, method=None, fill=False, device="auto", delegate=False):
        """Makes samples again from Python; ``faces``: label ids, None for all faces of the samples."""
        way = "fill" if fill else "method" if method is not None else "seed" if seed is not None else "next"
        given = {name: value for name, value in (("seed", seed), ("method", method)) if value is not None}
        return _run(self, samples, {"way": way, "device": device, "faces": list(faces or []), **given}, delegate)


class Undo(foo.Operator):
    """Takes the selected samples back to where they were before they were anonymized."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="undo",
            label="Undo anonymization",
            description="Remove the anonymized pictures and fields of the selected samples; originals stay as they are",
            icon="undo",
            dynamic=True,
            execute_as_generator=True,
            view_target=False,
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _selected(ctx, inputs):
            _undo_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Undo anonymization"))

    def execute(self, ctx):
        _forms.require_package()
        if not ctx.params["confirm"]:
            raise ValueError("nothing was undone: confirm that the anonymized pictures shall be deleted")
        from fo_faceanon.host.review import undo

        samples, _ = _target(ctx)
        yield from _steps.run(ctx, _steps.at_once(lambda: undo(samples)), "samples", lambda report: _undone(self, ctx, report))

    def resolve_output(self, ctx):
        return _output("Undone")

    def __call__(self, samples, confirm=False):
        """Undoes from Python; ``confirm`` must be True."""
        return _run(self, samples, {"confirm": confirm})


class CheckStale(foo.Operator):
    """Marks samples whose original, picture, faces or consent changed."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="check_stale",
            label="Check what changed",
            description="Mark samples as stale whose original, faces or consent changed since they were anonymized",
            icon="update",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            allow_immediate_execution=True,
            risk_level=types.RiskLevel.LOW,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs, anonymized=True):
            words = (
                f"Checks {_forms.count(len(ctx.target_view()), 'sample')}. Files that were not touched are not read; no picture is changed."
            )
            inputs.view("what", types.Notice(label=words))
        return types.Property(inputs, view=types.View(label="Check what changed"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.stale import refresh

        samples = ctx.target_view()
        yield from _steps.run(ctx, _steps.at_once(lambda: refresh(samples)), "samples", lambda report: _refreshed(self, ctx, report))

    def resolve_output(self, ctx):
        return _output("Checked")

    def __call__(self, samples, delegate=False):
        """Checks from Python."""
        return _forms.execute(self, samples, {}, delegate)


def _selected(ctx, inputs):
    if _forms.package_missing(inputs):
        return False
    chosen, _ = _target(ctx)
    if chosen is None:
        _forms.refuse(inputs, "none", "Select samples, or single faces in a sample, first")
        return False
    return _checks.ready(ctx, inputs, samples=lambda: chosen, anonymized=True)


def _target(ctx):
    """The samples that are meant, and the faces; no faces for all of a sample's."""
    from fo_faceanon.host.fields import FACES

    faces = ctx.params.get("faces") or _checks.selected_faces(ctx, FACES)[1]
    return _checks.selection(ctx, FACES), faces or None


def _redo_inputs(ctx, inputs):
    samples, faces = _target(ctx)
    what = _forms.count(len(faces), "selected face") if faces else "all faces"
    words = (
        f"Makes {what} of {_forms.count(len(samples), 'sample')} again, from the originals; all other faces stay as they are, which is "
        "checked. A sample for which that fails stays as it was. Dials and detector are those of its run."
    )
    inputs.view("what", types.Notice(label=words))
    menu = _forms.choices(_WAYS, _WAYS.values())
    inputs.enum("way", menu.values(), default="next", required=True, label="How", view=menu)
    _forms.hidden_list(inputs, "faces")
    way = ctx.params.get("way") or "next"
    if way == "seed":
        inputs.int("seed", required=True, label="Seed", description="The same seed always makes the same face")
    if way == "method":
        _method_input(inputs)
    explain = "auto takes a GPU where there is one; the other faces come out bit for bit on the kind of device that made them"
    inputs.str("device", default="auto", required=True, label="Device", description=explain)


def _method_input(inputs):
    from fo_faceanon.registry import list_methods

    methods = [method for method in list_methods() if not method.missing]
    menu = _forms.choices([m.name for m in methods], [f"{m.name}: {m.summary}" for m in methods])
    inputs.enum("method", menu.values(), required=True, label="Method", view=menu)


def _change(ctx):
    way = ctx.params["way"]
    if way == "fill":
        return {"fill": True}
    return {} if way == "next" else {way: ctx.params[way]}


def _undo_inputs(ctx, inputs):
    from fo_faceanon.host.fields import MEDIA

    samples, _ = _target(ctx)
    pictures = samples.exists(MEDIA).count()
    words = (
        f"Deletes {_forms.count(pictures, 'anonymized picture')} of {_forms.count(len(samples), 'sample')}, with what was written about "
        "them. Originals stay as they are. Files that are not byte for byte what a run wrote are left. Faces that you marked as missed "
        "stay marked."
    )
    inputs.view("what", types.Warning(label=words))
    confirm = inputs.bool("confirm", default=False, required=True, label="Yes, delete these anonymized pictures")
    if not ctx.params.get("confirm"):
        confirm.invalid, confirm.error_message = True, "Tick this to go on"


def _run(operator, samples, params, delegate=False):
    """From Python, the samples given are the selection."""
    ctx = {"dataset": samples._root_dataset, "selected": samples.values("id"), "params": params}
    return foo.execute_operator(operator.uri, ctx=ctx, request_delegation=delegate)


def _output(label):
    outputs = types.Object()
    outputs.str("done", label="Done", view=types.MarkdownView())
    outputs.str("next", label="Next", view=types.MarkdownView())
    return types.Property(outputs, view=types.View(label=label))


def _redone(operator, ctx, report):
    words, after = _forms.redone(report)
    return words, operator.resolve_output(ctx), {"done": words, "next": after}


def _undone(operator, ctx, report):
    counts = {name.replace("_", " "): count for name, count in report.to_dict().items() if count}
    words = f"{report.undone} of {_forms.count(report.samples, 'sample')} as before the anonymization"
    return words, operator.resolve_output(ctx), {"done": words, "next": _forms.count_table(counts)}


def _refreshed(operator, ctx, report):
    words = f"{report.stale} of {_forms.count(report.samples, 'sample')} stale now, {report.current} as they were"
    after = _forms.count_table(report.reasons) if report.reasons else "Nothing changed."
    more = "\n\nRun **Anonymize faces** again: it does the stale ones, and skips the others." if report.stale else ""
    return words, operator.resolve_output(ctx), {"done": words, "next": after + more}
