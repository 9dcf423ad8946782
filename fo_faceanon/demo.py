"""The main job end to end, on two public-domain photographs from installed packages and on people who do not exist."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.steps import drain

DATASET = "faceanon-demo"
_MARKER = ".faceanon-demo"


def demo_pictures() -> dict[str, Path]:
    """Name and file of every picture of the demo.

    Raises:
        InputError: a package that should carry one is damaged.
    """
    bundled = sorted((Path(__file__).parent / "data" / "demo").glob("*.jpg"))
    astronaut = Path(import_module("skimage").__file__ or "").parent / "data" / "astronaut.png"
    hopper = Path(import_module("matplotlib").get_data_path()) / "sample_data" / "grace_hopper.jpg"
    pictures = {"astronaut": astronaut, "grace_hopper": hopper, **{path.stem: path for path in bundled}}
    missing = [str(path) for path in pictures.values() if not path.is_file()]
    if missing or not bundled:
        raise InputError(f"the demo's pictures are not there ({', '.join(missing) or 'bundled ones'}): install fo-faceanon again")
    return pictures


def run_demo(out: Path, app: bool = False, console: Console | None = None) -> dict[str, Any]:
    """Runs the demo.

    Args:
        out: folder to write to; made anew on each run, and refused where it holds anything else.
        app: open the result in the FiftyOne App and wait until it is closed.
        console: where to talk to.

    Returns:
        ``dataset``, ``run`` (the ledger), ``metrics`` (as of ``fo_faceanon.evaluate``), ``failures``, ``export``, ``sheet`` and ``report``.

    Raises:
        FaceAnonError: no database, a folder in use, missing weights.
    """
    console = console or Console()
    out = Path(out).resolve()
    _prepare_folder(out)
    dataset = _make_dataset(demo_pictures())
    from fo_faceanon.host.evaluate import evaluate
    from fo_faceanon.host.export import export_safe_split
    from fo_faceanon.host.runner import anonymize_steps
    from fo_faceanon.host.views import failures

    with _progress(console) as advance:
        steps = anonymize_steps(dataset, "donor", output_dir=out / "anonymized")
        report = drain(steps, lambda step: advance("Anonymizing", step.done, step.total))
        metrics = evaluate(dataset, floor=False, report=out / "report.html", progress=partial(advance, "Evaluating"))
        exported = export_safe_split(dataset, out / "export", "FiftyOneDataset", progress=False)
    sheet = _sheet(dataset, out / "contact_sheet.png")
    waiting = failures(dataset)
    result = {
        "dataset": dataset.name,
        "run": report.to_dict(),
        "metrics": metrics,
        "failures": {str(k): v for k, v in waiting.count_values("faceanon.reason").items()},
        "export": exported.to_dict(),
        "sheet": str(sheet),
        "report": str(out / "report.html"),
    }
    _print(console, result, out)
    if app:
        import fiftyone as fo

        console.print("Opening the App; close it to go on.")
        fo.launch_app(dataset, address="127.0.0.1").wait()
    return result


def _prepare_folder(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / _MARKER).exists():
        raise OutputError(f"{out} is not empty and not of an earlier demo: choose another folder with --out")
    for name in ("anonymized", "export"):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).touch()


def _make_dataset(pictures: dict[str, Path]) -> Any:
    """A fresh dataset over the pictures where they lie; nothing is copied."""
    import fiftyone as fo

    from fo_faceanon.host.session import fresh_dataset

    dataset = fresh_dataset(DATASET)
    dataset.add_samples([fo.Sample(filepath=str(path), tags=[_kind(name)]) for name, path in pictures.items()], progress=False)
    return dataset


def _kind(name: str) -> str:
    return "photograph" if name in ("astronaut", "grace_hopper") else "synthetic"


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        tasks = {name: bar.add_task(name, total=None, start=name == "Anonymizing") for name in ("Anonymizing", "Evaluating")}

        def advance(name: str, done: int, total: int) -> None:
            bar.start_task(tasks[name])
            bar.update(tasks[name], completed=done, total=total)

        yield advance


def _sheet(dataset: Any, path: Path) -> Path:
    from fo_faceanon.images import decode_image
    from fo_faceanon.sheets import contact_sheet

    pairs = []
    for source, output in zip(*dataset.values(["filepath", "anonymized_filepath"]), strict=True):
        if output is not None:
            pairs.append((decode_image(source).pixels, decode_image(output).pixels))
    return contact_sheet(pairs, path)


def _print(console: Console, result: dict[str, Any], out: Path) -> None:
    from fo_faceanon.evaluation.report import headlines

    run, metrics = result["run"], result["metrics"]
    table = Table("what", "value", "on", title="What happened", title_justify="left")
    for status, count in run["images"].items():
        table.add_row(f"images: {status}", str(count), "")
    for action, count in run["faces"].items():
        table.add_row(f"faces: {action}", str(count), f"{run['faces_found']} found")
    table.add_row("ledger adds up", "yes" if run["adds_up"] else "NO", "")
    for headline in headlines(metrics):
        table.add_row(headline.label, headline.value, headline.note)
    table.add_row("exported", str(result["export"]["exported"]), f"{result['export']['considered']} images")
    console.print(table)
    console.print(f"Contact sheet (original | anonymized): {result['sheet']}")
    console.print(f"Report of the evaluation: {result['report']}")
    console.print(f"Export: {out / 'export'}")
    console.print("Next: `fo-faceanon demo --app` to look at it in the App, `fo-faceanon anonymize SRC DST` for a folder of your own,")
    console.print("`fo-faceanon anonymize fiftyone:NAME` for a dataset, `fo-faceanon doctor` for what can be added.")
