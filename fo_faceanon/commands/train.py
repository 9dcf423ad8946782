"""``fo-faceanon train``: packed faces, generators learnt from them, and what comes back from a machine that trained."""

from __future__ import annotations

from functools import partial
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated

import typer

from fo_faceanon.commands import show

app = typer.Typer(no_args_is_help=True, help="Train the generators: prepare faces, train, bring weights in.")
_RUN = typer.Argument(metavar="RUN", help="folder of a training run")


@app.command()
def prepare(
    data: Annotated[list[str], typer.Argument(metavar="[NAME=]DATA...", help="tar archives, folders of pictures or of .npy stacks")],
    out: Annotated[Path, typer.Option(help="folder of the packed shards")],
    size: Annotated[int, typer.Option(help="side of the crops in pixels: 64, 128 or 256")] = 128,
    detector: Annotated[str, typer.Option(help="union, mtcnn, yunet or dlib")] = "union",
    limit: Annotated[int | None, typer.Option(min=1, help="faces per set at most")] = None,
    synthetic: Annotated[list[str] | None, typer.Option(help="a set that shows nobody (repeat); the usual ones are known")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout")] = False,
) -> None:
    """Detect faces, place landmarks, cut canonical crops and pack them. Sets that are packed already are left alone."""
    from fo_faceanon.detection import create_detector
    from fo_faceanon.training.prepare import as_dict, prepare_faces
    from fo_faceanon.training.sources import SYNTHETIC, parse_source

    sources = [parse_source(text, SYNTHETIC | set(synthetic or ())) for text in data]
    with show.progress_bar() as bar:
        tasks = show.named_tasks(bar)

        def report(name: str, pictures: int, kept: int) -> None:
            tasks(name, pictures, description=f"{name}: {kept} faces of")

        reports = as_dict(prepare_faces(sources, out, create_detector(detector, min_face=24), size, limit, report))
    if as_json:
        show.print_json(reports)
        return
    for name, values in reports.items():
        reasons = ", ".join(f"{count} {reason}" for reason, count in values["left_out"].items()) or "none"
        show.out.print(f"{name}: {values['kept']} of {values['pictures']} pictures; left out: {reasons}", soft_wrap=True)


@app.command()
def mesh(
    folder: Annotated[Path, typer.Argument(metavar="SHARDS", help="folder of packed shards")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N")] = "auto",
) -> None:
    """Place 478 mesh points on packed faces: mesh478 learns from them."""
    from fo_faceanon.devices import resolve_device
    from fo_faceanon.landmarks.mesh478 import Mesh478
    from fo_faceanon.training.mesh_points import add_mesh

    with show.progress_bar() as bar:
        for name, count in add_mesh(folder, Mesh478(resolve_device(device)), show.named_tasks(bar)).items():
            show.out.print(f"{name}: {count} faces have mesh points")


def _train(
    method: str,
    data: Annotated[Path, typer.Option(help="folder of packed shards")],
    out: Annotated[Path, typer.Option(help="folder of the run")],
    config: Annotated[Path | None, typer.Option(help="another JSON file of settings than the method's own")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="change a setting (repeat)")] = None,
    minutes: Annotated[float | None, typer.Option(help="stop after so long")] = None,
    images: Annotated[int | None, typer.Option(help="stop after so many faces shown")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="go on from the run's checkpoint")] = False,
    smaller: Annotated[
        Path | None, typer.Option("--grow-from", metavar="RUN", help="begin with a run at half the size, twice the widths")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile: a slow start, then faster steps on a GPU")] = False,
) -> None:
    """Train a generator. Leaves checkpoint, sheets of samples, losses (CSV and picture) and weights in the run's folder."""
    from fo_faceanon.training.config import load_config
    from fo_faceanon.training.train_generator import Limits, start_run

    training = start_run(load_config(config or method, change or ()), data, out, device, resume, compiled, smaller=smaller)
    training.train(Limits(minutes, images))
    draw_losses(out)
    typer.echo(out)


def _add_method(name: str) -> None:
    """``fo-faceanon train NAME``: :func:`_train` with its method given."""
    command = partial(_train, name)
    command.__doc__ = f"Train {name}. {(_train.__doc__ or '').partition('. ')[2]}"
    parameters = list(signature(_train, eval_str=True).parameters.values())[1:]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(name)(command)


for _name in ("landmark68", "sparse7", "mesh478"):
    _add_method(_name)


@app.command("import")
def import_(
    folder: Annotated[Path, _RUN],
    out: Annotated[Path, typer.Option(help="the .safetensors file to write")],
    licence: Annotated[str, typer.Option(help="terms of the weights, for the model card")],
    note: Annotated[list[str] | None, typer.Option(help="a line of the model card: metrics, limits (repeat)")] = None,
) -> None:
    """Join a run's exported weights, wherever they were trained, into one weight file with its model card."""
    from fo_faceanon.networks.files import build_generator, save_generator
    from fo_faceanon.training.checkpoint import join_export

    tensors, header = join_export(folder)
    network = build_generator(header["kind"], header["config"])
    network.load_state_dict(tensors)
    save_generator(out, network, {**header["card"], "licence": licence, "notes": note or []})
    if (folder / "losses.csv").exists():
        draw_losses(folder)
    typer.echo(out)


def draw_losses(folder: Path) -> Path:
    """The run's ``losses.csv`` as ``losses.png``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    table = np.genfromtxt(folder / "losses.csv", delimiter=",", names=True, ndmin=1)
    names = [name for name in table.dtype.names or () if name not in ("images", "seconds")]
    figure, axes = plt.subplots(2, -(-len(names) // 2), figsize=(16, 6), constrained_layout=True)
    for axis, name in zip(axes.flat, names, strict=False):
        axis.plot(table["images"] / 1000, table[name])
        axis.set(title=name.replace("_", " "), xlabel="thousand faces shown")
    figure.savefig(folder / "losses.png", dpi=80)
    plt.close(figure)
    return folder / "losses.png"
