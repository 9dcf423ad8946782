"""``fo-faceanon anonymize``: a folder, or a FiftyOne dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fo_faceanon.commands import show

DATASET = "fiftyone:"


def anonymize(
    source: Annotated[str, typer.Argument(metavar="SRC", help="a folder of images, or fiftyone:NAME for a dataset")],
    output: Annotated[
        Path | None, typer.Argument(metavar="[DST]", help="the folder to write; of a dataset, the media folder (chosen where left out)")
    ] = None,
    method: Annotated[str, typer.Option(help="how faces are replaced: see `fo-faceanon methods`")] = "donor",
    seed: Annotated[int, typer.Option(help="another seed gives other faces; the same one, the same bytes")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="processes (threads beside a GPU) (default: one per core)")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="images at once; does not change the result")] = None,
    detector: Annotated[str, typer.Option(help="union (all that are installed), mtcnn, dlib or yunet")] = "union",
    min_face: Annotated[int, typer.Option(min=1, help="smallest face looked for, in pixels")] = 16,
    same_names: Annotated[bool, typer.Option("--same-names", help="keep file and folder names; else they become neutral")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="remove what an earlier run wrote and begin again")] = False,
    journal: Annotated[Path | None, typer.Option(help="folder of the journal and of the mapping of names (default: DST.faceanon)")] = None,
    dial: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="a dial of the method, for example shape=0.5; may be repeated")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the report as JSON on stdout, no progress bar")] = False,
) -> None:
    """Anonymize the faces of a folder of images, or of a FiftyOne dataset.

    The same command again resumes an interrupted run. An image that cannot be read, or whose result fails its checks, gets no
    output file, and the exit code says so.
    """
    from fo_faceanon.engine import Options
    from fo_faceanon.registry import method_info, parse_dials

    method_info(method)
    dials = parse_dials(dial or ())
    common: dict[str, Any] = {"seed": seed, "device": device, "workers": workers, "batch_size": batch_size}
    common |= {"detector": detector, "min_face": min_face}
    if source.startswith(DATASET):
        if same_names or journal:
            raise typer.BadParameter("--same-names and --journal are for folders: a dataset keeps its own records")
        _dataset(source.removeprefix(DATASET), method, output, restart, as_json, {**common, **dials})
    if output is None:
        raise typer.BadParameter("a folder needs a folder to write to: fo-faceanon anonymize SRC DST")
    output = output.resolve()
    beside = journal.resolve() if journal else output.with_name(output.name + ".faceanon")
    options = Options(method=method, dials=dials, **common)
    _folder(Path(source).resolve(), output, options, beside, same_names, restart, as_json)


def _folder(source: Path, output: Path, options: Any, journal: Path, same_names: bool, restart: bool, as_json: bool) -> None:
    from fo_faceanon.commands.folder import FolderJob

    job = FolderJob(source, output, options, journal, same_names, restart)
    with show.progress_bar(quiet=as_json) as bar:
        task = bar.add_task(f"anonymizing ({options.method})", total=None)
        result = job.run(lambda record: bar.advance(task), lambda count: bar.update(task, total=count))
    code = show.exit_code(result.report.images)
    if as_json:
        more = {"output": str(output), "journal": str(journal), "resumed": result.resumed, "problems": result.problems, "exit_code": code}
        show.print_json({**result.report.to_dict(), **more})
    else:
        show.print_report(result.report, result.resumed)
        show.out.print(
            f"Written to {output}. Which file is whose: {journal / 'mapping.csv'} (names originals: do not share it).", soft_wrap=True
        )
    show.finish(code)


def _dataset(name: str, method: str, output: Path | None, restart: bool, as_json: bool, settings: dict[str, Any]) -> None:
    given = {key: value for key, value in settings.items() if value is not None}
    with show.only_json(as_json):
        from fo_faceanon.host.runner import anonymize as anonymize_dataset

        report = anonymize_dataset(name, method, output_dir=output, overwrite=restart, progress=not as_json, **given)
    code = show.exit_code(report.images)
    if as_json:
        show.print_json({**report.to_dict(), "dataset": name, "exit_code": code})
    else:
        show.print_report(report)
    raise typer.Exit(code)
