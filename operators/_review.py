"""The operators for a person's look: what to look at, and what was seen to be fine."""

from __future__ import annotations

import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _forms

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


class MarkReviewed(foo.Operator):
    """Releases samples that a person looked at."""

    @property
    def config(self):
        return _config(
            name="mark_reviewed",
            label="Mark as reviewed",
            description="Release samples without a face, or in need of review, after looking at the anonymized picture",
            icon="fact_check",
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if not _forms.package_missing(inputs):
            if not ctx.selected:
                _forms.refuse(inputs, "none", "Select the samples that you looked at")
            menu = _forms.choices(["release", "withdraw"], ["Release: nobody can be recognised", "Withdraw an earlier release"])
            label = f"{len(ctx.selected)} selected samples"
            inputs.enum("decision", menu.values(), default="release", required=True, label=label, view=menu)
        return types.Property(inputs, view=types.View(label="Mark as reviewed"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.views import mark_reviewed

        count = mark_reviewed(ctx.dataset.select(ctx.selected), ctx.params["decision"] == "release")
        ctx.ops.reload_dataset()
        return {"marked": count, "selected": len(ctx.selected)}

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.int("marked", label="Marked")
        outputs.int("selected", label="Selected (failed ones cannot be released)")
        return types.Property(outputs)

    def __call__(self, samples, decision="release"):
        """Marks the samples of a dataset or view from Python."""
        ctx = {"dataset": samples._root_dataset, "selected": samples.values("id"), "params": {"decision": decision}}
        return foo.execute_operator(self.uri, ctx=ctx)


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
