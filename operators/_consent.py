"""The operator that reads a list of people or faces that may stay."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _checks, _forms, _steps


class ImportConsent(foo.Operator):
    """Writes consent into face labels; first as a dry run."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="import_consent",
            label="Import consent",
            description="Read a list of people or faces that may stay recognisable, and note it on their labels",
            icon="how_to_reg",
            dynamic=True,
            execute_as_generator=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs):
            _consent_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Import consent"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.consent_import import import_consent

        settings = _settings(ctx)
        samples = ctx.target_view()
        steps = _steps.at_once(lambda: import_consent(samples, **settings))
        yield from _steps.run(ctx, steps, "samples", lambda report: _counted(self, ctx, report))

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("done", label="Done", view=types.MarkdownView())
        outputs.str("counts", label="Counts", view=types.MarkdownView())
        outputs.str("next", label="Next", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label="Dry run" if ctx.params.get("dry_run") else "Consent imported"))

    def __call__(self, samples, people=None, faces_field=None, person_field=None, source=None, consent_field="consent", dry_run=False):
        """Imports from Python; ``people``: a list of names; ``source``: a CSV or JSON file."""
        params = {"faces_field": faces_field, "consent_field": consent_field, "dry_run": dry_run}
        params["list"] = "people" if source is None else "file"
        given = {"person_field": person_field, "people": None if people is None else ";".join(people), "source": source and str(source)}
        return _forms.execute(self, samples, {**params, **{name: value for name, value in given.items() if value is not None}})


def _consent_inputs(ctx, inputs):
    from fo_faceanon.host.consent_import import WARNING

    fields = _forms.fields_of(ctx.dataset, fo.Detections)
    if not fields:
        _forms.refuse(inputs, "no_faces", "The dataset has no face labels yet: run Detect faces, or add your own")
        return
    inputs.view("warning", types.Warning(label=WARNING))
    menu = _forms.choices(fields)
    inputs.enum("faces_field", menu.values(), default=fields[0], required=True, label="Faces", view=menu)
    ways = {"people": "Names, typed here", "file": "A CSV or JSON file"}
    menu = _forms.choices(ways, ways.values())
    inputs.enum("list", menu.values(), default="people", required=True, label="The list", view=menu)
    _list_inputs(ctx, inputs, ctx.params.get("faces_field") or fields[0])
    explain = "True for those on the list, false for everyone else: the list is the whole truth. A run reads it as Consent"
    inputs.str("consent_field", default="consent", required=True, label="Attribute", description=explain)
    inputs.bool("dry_run", default=True, required=True, label="Dry run", description="Count, and write nothing")


def _list_inputs(ctx, inputs, faces_field):
    names = _forms.attributes_of(ctx.dataset, faces_field, fo.StringField)
    by_name = (ctx.params.get("list") or "people") == "people"
    if by_name:
        explain = "Names, with semicolons between them. Empty: every consent is withdrawn"
        inputs.str("people", required=False, label="Who may stay", description=explain)
    else:
        explain = "Columns: person; or label; or file, x, y, width, height (parts of the picture). Optional: consent, yes or no"
        inputs.str("source", required=True, label="File", description=f"Its path where FiftyOne runs. {explain}")
    if names:
        menu = _forms.choices(names)
        explain = "The attribute of the labels that names the person"
        inputs.enum("person_field", menu.values(), required=by_name, label="Person", description=explain, view=menu)
    elif by_name:
        _forms.refuse(inputs, "no_names", "The labels of this field have no attribute with names: use a file with label ids or boxes")


def _settings(ctx):
    params = ctx.params
    settings = {name: params[name] for name in ("faces_field", "person_field", "consent_field", "dry_run") if params.get(name) is not None}
    if params["list"] == "people":
        return {**settings, "people": [name.strip() for name in (params.get("people") or "").split(";") if name.strip()]}
    return {**settings, "source": params["source"]}


def _counted(operator, ctx, report):
    verb = "would stay" if report.dry_run else "may stay"
    words = f"{report.consenting} of {_forms.count(report.labels, 'face')} {verb} recognisable"
    counts = {"newly granted": report.granted, "withdrawn": report.withdrawn, "samples stale now": report.stale}
    counts["entries of the list that mean no label"] = len(report.not_found)
    after = f"{report.warning}\n\n" + (f"Not found: {', '.join(report.not_found[:20])}" if report.not_found else "")
    run = "\n\nRun **Anonymize faces** with these labels and this attribute as *Consent*." if not report.dry_run else ""
    shown = {name: count for name, count in counts.items() if count}
    return words, operator.resolve_output(ctx), {"done": words, "counts": _forms.count_table(shown), "next": after + run}
