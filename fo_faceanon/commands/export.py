"""``fo-faceanon export``: a split of a dataset that is safe to hand over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fo_faceanon.commands import show
from fo_faceanon.commands.anonymize import DATASET


def export(
    source: Annotated[str, typer.Argument(metavar="fiftyone:NAME", help="the dataset")],
    output: Annotated[Path, typer.Argument(metavar="DST", help="the folder to write; it must not exist, or be empty")],
    type_: Annotated[
        str, typer.Option("--type", help="FiftyOneDataset, COCODetectionDataset, ImageDirectory or ImageClassificationDirectoryTree")
    ] = "FiftyOneDataset",
    label_field: Annotated[list[str] | None, typer.Option(help="a label field to take along; may be given several times")] = None,
    attribute: Annotated[list[str] | None, typer.Option(help="a label attribute to take along; may be given several times")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be exported, what not, and why")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier export")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the report as JSON on stdout")] = False,
) -> None:
    """Export the releasable samples of a dataset, cleaned and audited. Exit code 4 where samples were withheld."""
    if not source.startswith(DATASET):
        raise typer.BadParameter(f"SRC must be {DATASET}NAME, but got {source!r}")
    with show.only_json(as_json):
        from fo_faceanon.host.export import export_safe_split

        report = export_safe_split(
            source.removeprefix(DATASET),
            output,
            dataset_type=type_,
            label_fields=label_field,
            attributes=attribute,
            dry_run=dry_run,
            overwrite=overwrite,
            progress=not as_json,
        )
    values: dict[str, Any] = report.to_dict()
    if as_json:
        show.print_json(values)
    else:
        for name, value in values.items():
            show.out.print(f"{name}: {value}", soft_wrap=True)
    show.finish(show.REVIEW if values.get("withheld") else show.OK)
