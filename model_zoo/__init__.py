"""FiftyOne's entrance to the models: everything that can be used is in ``fo_faceanon.host.zoo``.

FiftyOne loads this file from wherever it was copied to, so worker processes could not import a class that is defined here.
"""

_MISSING = "these models need the package fo-faceanon where FiftyOne runs: pip install fo-faceanon"


def download_model(model_name, model_path):
    """Makes sure that the weights are there, and notes it in ``model_path``."""
    _zoo().prepare(model_name, model_path)


def load_model(model_name, model_path, **kwargs):
    """The model; ``kwargs`` are its parameters."""
    return _zoo().load(model_name, **kwargs)


def resolve_input(model_name, ctx):
    """The model's parameters as a form."""
    return _zoo().parameters_form(model_name)


def _zoo():
    try:
        from fo_faceanon.host import zoo
    except ImportError as error:
        raise ImportError(f"{_MISSING} ({error})") from error
    return zoo
