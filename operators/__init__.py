"""The FiftyOne plugin of fo-faceanon: forms around the package's functions.

FiftyOne runs this file on every request, so it holds nothing; state and models live in the package.
"""


def register(plugin):
    """Registers the operators."""
    from ._anonymize import AnonymizeFaces
    from ._consent import ImportConsent
    from ._detect import DetectFaces, FindMissedFaces, PredictEmotions
    from ._export import ExportSafeSplit
    from ._metrics import ComputeMetrics
    from ._redo import CheckStale, Reanonymize, Undo
    from ._review import ReviewFaces, ShowFailures

    finding = (DetectFaces, PredictEmotions, ImportConsent)
    reviewing = (ShowFailures, FindMissedFaces, ReviewFaces, Reanonymize, Undo, CheckStale)
    for operator in (AnonymizeFaces, *finding, *reviewing, ComputeMetrics, ExportSafeSplit):
        plugin.register(operator)
