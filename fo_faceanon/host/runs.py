"""The registered FiftyOne run of a configuration: what was done, with what, and the counts; never a path."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import fiftyone as fo

from fo_faceanon import __version__
from fo_faceanon.errors import HostError
from fo_faceanon.host.inputs import FaceSource
from fo_faceanon.records import RunReport

if TYPE_CHECKING:
    from fo_faceanon.engine import Options


def run_config(options: Options, faces: FaceSource) -> dict[str, Any]:
    """What decides the output of a run, as JSON values; the secret salt only as a slow digest."""
    salt = None if options.salt is None else _slow_digest(options.salt)
    config = {**options.configuration, "faces": faces.to_dict(), "salt_digest": salt, "version": __version__}
    return json.loads(json.dumps(config, default=str, sort_keys=True))


def run_key(config: dict[str, Any]) -> str:
    """The run's key: the same configuration has the same key, so that a run can be resumed."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    return f"faceanon_{config['method']}_{digest[:10]}"


def register_run(dataset: fo.Dataset, key: str, config: dict[str, Any]) -> None:
    """Registers the run before its first image, so that an interrupted run can be seen."""
    described = {**config, "method": "faceanon/anonymize", "anonymizer": config["method"]}
    dataset.register_run(key, dataset.init_run(**described), overwrite=True)


def face_source(dataset: fo.Dataset, key: str) -> FaceSource | None:
    """Where the faces of a registered run came from; None where the run is not registered any more."""
    if not dataset.has_run(key):
        return None
    return FaceSource.from_dict(dataset.get_run_info(key).config.faces)


def recorded_options(dataset: fo.Dataset, key: str, salt: str | None, how: dict[str, Any]) -> Options | None:
    """The options of a registered run, to make single samples of it again; None where it is not registered any more.

    Args:
        dataset: that the run is registered with.
        key: of the run.
        salt: its secret; not used where it had none.
        how: ``device``, ``workers``, ...: what does not decide the output.

    Raises:
        HostError: the salt is not the one of the run.
    """
    from fo_faceanon.engine import Options

    if not dataset.has_run(key):
        return None
    config = dataset.get_run_info(key).config
    if config.salt_digest != (None if salt is None else _slow_digest(salt)):
        raise HostError(
            "the run's own secret salt is needed to make its faces again (salts are not stored); give the same one, or none if it had none"
        )
    names = ("seed", "identity_mode", "detector", "min_face")
    return Options(method=config.anonymizer, dials=config.dials, salt=salt, **{name: getattr(config, name) for name in names}, **how)


def register_redo(dataset: fo.Dataset, config: dict[str, Any]) -> str:
    """Registers that samples were made again, and how; returns the key."""
    key = f"faceanon_redo_{hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:10]}"
    dataset.register_run(key, dataset.init_run(method="faceanon/reanonymize", version=__version__, **config), overwrite=True)
    return key


def save_report(dataset: fo.Dataset, key: str, report: RunReport) -> None:
    """Stores the counts as the run's results."""
    dataset.save_run_results(key, dataset.init_run_results(key, report=report.to_dict()), overwrite=True)


def _slow_digest(salt: str) -> str:
    """A digest that is slow to guess from: run configurations are exported by FiftyOne, and the salt must stay secret."""
    return hashlib.scrypt(salt.encode(), salt=b"fo-faceanon run key", n=2**14, r=8, p=1, dklen=16).hex()
