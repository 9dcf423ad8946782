"""The operator that exports a split that is safe to hand over."""

from __future__ import annotations

import os

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _checks, _forms


class ExportSafeSplit(foo.Operator):
    """Exports what may be shared; first as a dry run."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="export_safe_split",
            label="Export safe split",
            description="Export anonymized pictures that passed every check, in a fresh dataset that names nobody",
            icon="outbox",
            dynamic=True,
            allow_delegated_execution=True,
            allow_immediate_execution=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs, anonymized=True, writes=False):
            _export_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Export safe split"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.export import export_safe_split

        report = export_safe_split(
            ctx.target_view(),
            _folder(ctx),
            ctx.params["dataset_type"],
            label_fields=ctx.params.get("label_fields") or None,
            attributes=ctx.params.get("attributes") or None,
            dry_run=ctx.params["dry_run"],
            overwrite=ctx.params["overwrite"],
            progress=_progress(ctx),
        )
        return {**report.to_dict(), "summary": _summary(report)}

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("summary", label="Export", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label="Dry run" if ctx.params.get("dry_run") else "Exported"))

    def __call__(self, samples, export_dir, dataset_type="FiftyOneDataset", dry_run=False, overwrite=False, delegate=False, **settings):
        """Exports from Python; ``settings``: label_fields, attributes."""
        params = {
            "export_dir": {"absolute_path": os.path.abspath(export_dir)},
            "dataset_type": dataset_type,
            "dry_run": dry_run,
            "overwrite": overwrite,
            **settings,
        }
        return _forms.execute(self, samples, params, delegate)


def _export_inputs(ctx, inputs):
    from fo_faceanon.host.export import DATASET_TYPES

    menu = _forms.choices(DATASET_TYPES)
    inputs.enum("dataset_type", menu.values(), default="FiftyOneDataset", required=True, label="Layout", view=menu)
    _label_inputs(ctx, inputs, ctx.params.get("dataset_type") or "FiftyOneDataset")
    explorer = types.FileExplorerView(choose_dir=True, button_label="Choose a folder")
    explain = "A new or empty folder, away from the originals"
    inputs.file("export_dir", required=True, label="Folder", description=explain, view=explorer)
    dry = "Check everything and say what would leave and what would not; write nothing"
    inputs.bool("dry_run", default=True, required=True, label="Dry run", description=dry)
    inputs.bool("overwrite", default=False, required=True, label="Replace an earlier export in this folder")


def _label_inputs(ctx, inputs, dataset_type):
    from fo_faceanon.host.export import DATASET_TYPES

    needed = DATASET_TYPES.get(dataset_type)
    if dataset_type == "ImageDirectory":
        return
    kinds = needed or (fo.Detections, fo.Detection, fo.Classification, fo.Classifications, fo.Keypoints, fo.Polylines)
    fields = _forms.fields_of(ctx.dataset, kinds)
    if needed is not None and not fields:
        _forms.refuse(inputs, "no_labels", f"This layout needs a field of {needed.__name__}, and the dataset has none")
        return
    menu = types.DropdownView(multiple=True)
    for name in fields:
        menu.add_choice(name, label=name)
    explain = "Only these leave, with class and geometry. Class names leave as they are: choose fields that name no one"
    inputs.list("label_fields", types.String(), required=needed is not None, label="Label fields", description=explain, view=menu)
    if ctx.params.get("label_fields"):
        explain = "Attributes of labels that leave as well, for example confidence"
        inputs.list("attributes", types.String(), required=False, label="Attributes", description=explain)


def _folder(ctx):
    value = ctx.params["export_dir"]
    return value["absolute_path"] if isinstance(value, dict) else value


def _progress(ctx):
    if not ctx.delegated:
        return False
    return fo.report_progress(lambda bar: ctx.set_progress(progress=bar.progress), dt=5.0)


def _summary(report):
    verb = "would be exported" if report.dry_run else "exported"
    text = f"**{report.exported}** of {report.considered} samples {verb}.\n\n"
    return text + (f"Withheld:\n\n{_forms.count_table(report.withheld)}" if report.withheld else "Nothing withheld.")
