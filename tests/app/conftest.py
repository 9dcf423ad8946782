"""Every test here uses the private database."""

import pytest


@pytest.fixture(autouse=True)
def _database(database: str) -> None:
    """Starts the database before the first test."""
