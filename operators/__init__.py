"""The FiftyOne plugin of fo-faceanon: forms around the package's functions.

FiftyOne runs this file on every request, so it holds nothing; state and models live in the package.
"""


def register(plugin):
    """Registers the operators."""
    from ._anonymize import AnonymizeFaces
    from ._export import ExportSafeSplit
    from ._metrics import ComputeMetrics
    from ._review import MarkReviewed, ShowFailures

    for operator in (AnonymizeFaces, ShowFailures, MarkReviewed, ComputeMetrics, ExportSafeSplit):
        plugin.register(operator)
