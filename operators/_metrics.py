"""The operator that measures what anonymized faces kept and gave away."""

from __future__ import annotations

import os

import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _forms, _steps

_REPORT = (".html", ".htm")


class ComputeMetrics(foo.Operator):
    """Compares anonymized pictures with their originals: figures into fields, and a report."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="compute_metrics",
            label="Compute metrics",
            description="Measure what the anonymized faces kept (expression, light, colour) and whether recognisers still know them",
            icon="query_stats",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            allow_immediate_execution=True,
            default_choice_to_delegated=True,
            risk_level=types.RiskLevel.LOW,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if not _forms.package_missing(inputs) and _anonymized(ctx, inputs):
            _run_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Compute metrics"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.evaluate import evaluate_steps

        steps = evaluate_steps(ctx.target_view(), **_settings(ctx))
        yield from _steps.run(ctx, steps, "pictures", lambda evaluation: _finished(self, ctx, evaluation))

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("summary", label="In short", view=types.MarkdownView())
        outputs.str("next", label="Next", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label="Metrics computed"))

    def __call__(self, samples, device="auto", report=None, delegate=False, **settings):
        """Measures from Python; ``report``: path of an HTML file; ``settings`` as in the form: noise_floor."""
        params = {"device": device, "noise_floor": True, **settings}
        if report is not None:
            params["report"] = os.path.abspath(report)
        return _forms.execute(self, samples, params, delegate)


def _finished(operator, ctx, evaluation):
    results = _results(evaluation, ctx.params.get("report"))
    return f"Done: {evaluation['counts']['faces']} faces", operator.resolve_output(ctx), results


def _anonymized(ctx, inputs):
    """True where there is something to measure; says how much, and what it takes."""
    from fo_faceanon.host.evaluate import comparable
    from fo_faceanon.host.fields import STATUS, is_ours

    view = ctx.target_view()
    if not is_ours(ctx.dataset, STATUS):
        _forms.refuse(inputs, "pending", "This dataset was not anonymized yet: run Anonymize faces first")
        return False
    total, ready = len(view), comparable(view)
    if not ready:
        _forms.refuse(inputs, "none", f"None of these {total} samples has an anonymized picture")
        return False
    words = f"{ready} of {total} samples have an anonymized picture and are measured. Allow about two seconds per face and CPU core."
    inputs.view("cost", types.Notice(label=words))
    return True


def _run_inputs(ctx, inputs):
    devices = _devices()
    menu = _forms.choices(devices)
    inputs.enum("device", menu.values(), default="auto", required=True, label="Device", view=menu)
    floor = "Measures originals, merely saved again, as well (at most 200 faces): without it nobody knows what a meter's own noise is"
    inputs.bool("noise_floor", default=True, required=True, label="Noise floor", description=floor)
    explain = "Path of an HTML file to write on the machine where FiftyOne runs; it holds no pictures. Empty: fields only"
    report = inputs.str("report", required=False, label="Report", description=explain)
    fault = _report_fault(ctx.params.get("report"))
    if fault:
        report.invalid, report.error_message = True, fault


def _devices():
    import torch

    return ["auto", "cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]


def _report_fault(path):
    """What is wrong with the path of a report; None where nothing is."""
    if not path:
        return None
    if not path.lower().endswith(_REPORT):
        return f"The report is an HTML file: give a path that ends in {_REPORT[0]}"
    folder = os.path.dirname(os.path.abspath(os.path.expanduser(path)))
    return None if os.path.isdir(folder) else f"There is no folder {folder}"


def _settings(ctx):
    fault = _report_fault(ctx.params.get("report"))
    if fault:
        raise ValueError(fault)
    report = os.path.expanduser(ctx.params["report"]) if ctx.params.get("report") else None
    return {"device": ctx.params["device"], "floor": ctx.params["noise_floor"], "report": report}


def _results(evaluation, report):
    from fo_faceanon.evaluation.report import statements

    said = "\n".join(f"- **{s.topic}**: {s.words}" for s in statements(evaluation))
    views = "Look at the saved views *faceanon: expression changed*, *light changed*, *skin tone changed*; sort faces by any figure."
    return {"summary": said, "next": f"{views} The report is at `{report}`." if report else views}
