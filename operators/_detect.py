"""The operators that look at faces and change no picture: detection, emotions, the second look."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

from . import _checks, _forms, _steps


class DetectFaces(foo.Operator):
    """Finds faces and writes them into a field."""

    @property
    def config(self):
        return _config(
            name="detect_faces",
            label="Detect faces",
            description="Find faces and write them as Detections, to look at before anything is anonymized",
            icon="face",
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs, writes=False):
            _detect_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Detect faces"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.detect import detect_steps

        names = ("field", "detector", "threshold", "min_face", "device", "overwrite")
        settings = {name: ctx.params[name] for name in names if ctx.params.get(name) is not None}
        yield from _steps.run(ctx, detect_steps(ctx.target_view(), **settings), "pictures", lambda report: _counted(self, ctx, report))

    def resolve_output(self, ctx):
        return _counts_output("Faces detected")

    def __call__(self, samples, field="detected_faces", delegate=False, **settings):
        """Detects from Python; ``settings`` as in the form: detector, threshold, min_face, device, overwrite."""
        params = {"field": field, "detector": "union", "min_face": 16, "device": "auto", "overwrite": False, **settings}
        return _forms.execute(self, samples, params, delegate)


class PredictEmotions(foo.Operator):
    """Writes an emotion into each face's label."""

    @property
    def config(self):
        return _config(
            name="predict_emotions",
            label="Predict emotions",
            description="Write the most probable emotion of each face, in the original and in the anonymized picture, into its label",
            icon="mood",
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs):
            _emotion_inputs(ctx, inputs)
        return types.Property(inputs, view=types.View(label="Predict emotions"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.detect import emotion_steps

        steps = emotion_steps(ctx.target_view(), ctx.params["faces_field"], device=ctx.params["device"])
        yield from _steps.run(ctx, steps, "pictures", lambda report: _counted(self, ctx, report))

    def resolve_output(self, ctx):
        return _counts_output("Emotions predicted")

    def __call__(self, samples, faces_field="faces", device="auto", delegate=False):
        """Predicts from Python."""
        return _forms.execute(self, samples, {"faces_field": faces_field, "device": device}, delegate)


class FindMissedFaces(foo.Operator):
    """Looks at the originals again for faces that were left as they are."""

    @property
    def config(self):
        return _config(
            name="find_missed_faces",
            label="Find missed faces",
            description="Look at the originals again with other detectors and lower thresholds; what may be a face holds its sample back",
            icon="person_search",
        )

    def resolve_input(self, ctx):
        inputs = types.Object()
        if _checks.ready(ctx, inputs, anonymized=True):
            words = (
                f"Looks at {_forms.count(len(ctx.target_view()), 'sample')} again. Where something may be a face, the sample waits for a "
                "look before it can be exported; most of these places are none. Finding nothing proves nothing."
            )
            inputs.view("what", types.Notice(label=words))
            _device_input(inputs)
        return types.Property(inputs, view=types.View(label="Find missed faces"))

    def execute(self, ctx):
        _forms.require_package()
        from fo_faceanon.host.missed import find_missed_steps

        steps = find_missed_steps(ctx.target_view(), device=ctx.params["device"])
        yield from _steps.run(ctx, steps, "pictures", lambda report: _looked(self, ctx, report))

    def resolve_output(self, ctx):
        return _counts_output("Second look")

    def __call__(self, samples, device="auto", delegate=False):
        """Looks from Python."""
        return _forms.execute(self, samples, {"device": device}, delegate)


def _config(**more):
    return foo.OperatorConfig(
        dynamic=True,
        execute_as_generator=True,
        allow_delegated_execution=True,
        allow_immediate_execution=True,
        default_choice_to_delegated=True,
        risk_level=types.RiskLevel.LOW,
        **more,
    )


def _detect_inputs(ctx, inputs):
    from fo_faceanon.detection import list_detectors
    from fo_faceanon.errors import HostError
    from fo_faceanon.host.fields import check_label_field

    there = [info for info in list_detectors() if info.available]
    if not there:
        _forms.refuse(inputs, "no_detector", "No detector's weights are here: run fo-faceanon doctor where FiftyOne runs")
        return
    inputs.view("what", types.Notice(label=f"Looks at {_forms.count(len(ctx.target_view()), 'sample')}; no picture is changed"))
    menu = _forms.choices([info.name for info in there], [f"{info.name}: {info.summary}" for info in there])
    inputs.enum("detector", menu.values(), default=there[0].name, required=True, label="Detector", view=menu)
    explain = "A new field of Detections, or one that an earlier detection made"
    field = inputs.str("field", default="detected_faces", required=True, label="Into field", description=explain)
    try:
        check_label_field(ctx.dataset, ctx.params.get("field") or "detected_faces")
    except HostError as error:
        field.invalid, field.error_message = True, str(error)
    inputs.int("min_face", default=16, min=8, required=True, label="Smallest face", description="Side in pixels")
    explain = "Between 0 and 1; lower finds more faces and more that are none. Empty: as measured for each detector"
    inputs.float("threshold", min=0.01, max=0.99, required=False, label="Smallest score", description=explain)
    _device_input(inputs)
    inputs.bool("overwrite", default=False, required=True, label="Look again at samples that have a value")


def _emotion_inputs(ctx, inputs):
    from fo_faceanon.errors import FaceAnonError
    from fo_faceanon.host.face_models import emotion_classifier
    from fo_faceanon.host.fields import FACES

    fields = _forms.fields_of(ctx.dataset, fo.Detections)
    if not fields:
        _forms.refuse(inputs, "no_faces", "The dataset has no faces yet: run Detect faces or Anonymize faces first")
        return
    try:
        emotion_classifier("cpu")
    except FaceAnonError as error:
        _forms.refuse(inputs, "no_classifier", str(error))
        return
    explain = "The faces of a run get an emotion before and one after; other fields one of the original. The judge is weak: see its card"
    menu = _forms.choices(fields)
    default = FACES if FACES in fields else fields[0]
    inputs.enum("faces_field", menu.values(), default=default, required=True, label="Faces", description=explain, view=menu)
    _device_input(inputs)


def _device_input(inputs):
    explain = "auto takes a GPU where there is one; otherwise cpu, cuda, cuda:1, mps"
    inputs.str("device", default="auto", required=True, label="Device", description=explain)


def _counts_output(label):
    outputs = types.Object()
    outputs.str("counts", label="Counts", view=types.MarkdownView())
    outputs.str("next", label="Next", view=types.MarkdownView())
    return types.Property(outputs, view=types.View(label=label))


def _counted(operator, ctx, report):
    counts = {name: count for name, count in report.to_dict().items() if count}
    values = {"counts": _forms.count_table(counts), "next": "The labels are in the sidebar; filter by them to look."}
    return f"Done: {_forms.count(report.faces, 'face')} in {_forms.count(report.done, 'picture')}", operator.resolve_output(ctx), values


def _looked(operator, ctx, report):
    counts = {**report.to_dict(), **report.candidates}
    counts = {name: count for name, count in counts.items() if isinstance(count, int) and count}
    after = "Look at **Show failures**, *faceanon: missed face*: mark what is a face with **Review faces**, and accept the rest."
    words = f"Done: {report.with_candidates} of {report.looked} pictures have a place to look at"
    return words, operator.resolve_output(ctx), {"counts": _forms.count_table(counts), "next": after}
