"""The operator that anonymizes."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _checks, _forms, _steps


class AnonymizeFaces(foo.Operator):
    """Anonymizes the faces of the dataset, the view or the selected samples."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="anonymize_faces",
            label="Anonymize faces",
            description="Replace every face by somebody who does not exist; originals stay as they are",
            icon="face_retouching_off",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            allow_immediate_execution=True,
            default_choice_to_delegated=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def resolve_placement(self, ctx):
        button = types.Button(label="Anonymize faces", icon="face_retouching_off", prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs):
            _method_inputs(inputs)
            _face_inputs(ctx, inputs)
            _run_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Anonymize faces"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.runner import anonymize_steps

        yield from _steps.run(
            ctx, anonymize_steps(ctx.target_view(), **_settings(ctx)), "images", lambda report: _finished(self, ctx, report)
        )

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("images", label="Images by outcome", view=types.MarkdownView())
        outputs.str("faces", label="Faces by what was done", view=types.MarkdownView())
        outputs.str("next", label="Next", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label="Faces anonymized"))

    def __call__(self, samples, method="donor", delegate=False, **settings):
        """Anonymizes from Python; ``settings`` as in the form: faces_field, keep_field, person_field, identity_mode, seed, overwrite."""
        return _forms.execute(self, samples, {**_DEFAULTS, "method": method, **settings}, delegate)


_DEFAULTS = {"method": "donor", "identity_mode": "fresh", "seed": 0, "overwrite": False}


def _method_inputs(inputs):
    from fo_faceanon.registry import list_methods

    methods = list_methods()
    menu = _forms.choices([m.name for m in methods], [f"{m.name}: {m.summary}" for m in methods])
    inputs.enum("method", menu.values(), default=methods[0].name, required=True, label="Method", view=menu)


def _face_inputs(ctx, inputs):
    fields = _forms.fields_of(ctx.dataset, fo.Detections)
    if not fields:
        return
    menu = _forms.choices(fields)
    explain = "Your own face boxes, in place of the detectors. Every box in the field counts as a face"
    inputs.enum("faces_field", menu.values(), required=False, label="Faces from", description=explain, view=menu)
    field = ctx.params.get("faces_field")
    if not field:
        return
    flags = _forms.attributes_of(ctx.dataset, field, fo.BooleanField)
    if flags:
        menu = _forms.choices(flags)
        explain = "Faces whose attribute is true stay as they are"
        inputs.enum("keep_field", menu.values(), required=False, label="Consent", description=explain, view=menu)
    names = _forms.attributes_of(ctx.dataset, field, fo.StringField)
    if ctx.params.get("identity_mode") == "consistent" and names:
        menu = _forms.choices(names)
        explain = "The attribute that names the person"
        inputs.enum("person_field", menu.values(), required=False, label="Person", description=explain, view=menu)


def _run_inputs(ctx, inputs):
    menu = _forms.choices(["fresh", "consistent"], ["fresh: every face another one", "consistent: the same person gets the same face"])
    inputs.enum("identity_mode", menu.values(), default="fresh", required=True, label="Identities", view=menu)
    if ctx.params.get("identity_mode") == "consistent" and not ctx.secrets.get(_forms.SALT):
        _forms.refuse(
            inputs, "salt", f"Consistent identities need a secret: set the environment variable {_forms.SALT} where FiftyOne runs"
        )
    inputs.int("seed", default=0, required=True, label="Seed", description="Another seed makes other faces")
    explain = "Otherwise, samples whose settings and files are unchanged are skipped"
    inputs.bool("overwrite", default=False, required=True, label="Do finished samples again", description=explain)


def _settings(ctx):
    names = ("method", "faces_field", "keep_field", "person_field", "identity_mode", "seed", "overwrite")
    settings = {name: ctx.params[name] for name in names if ctx.params.get(name) is not None}
    if settings.get("identity_mode") == "consistent":
        settings["salt"] = ctx.secret(_forms.SALT)
    return settings


def _finished(operator, ctx, report):
    words = "Done: " + (", ".join(f"{count} {status}" for status, count in report.images.items()) or "no images")
    return words, operator.resolve_output(ctx), _results(report)


def _results(report):
    return {
        "images": _forms.count_table(report.images),
        "faces": _forms.count_table(report.faces),
        "next": "Look at them with **Show failures**; switch the pictures with *Media field* in the settings of the grid.",
    }
