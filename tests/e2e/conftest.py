"""Fixtures of the end-to-end tests: the container engine, shared, and skipped or failed where there is none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clouds import _weeds, clouds
from tests.e2e.engine import Engine
from tests.e2e.site import _site_server, site
from tests.e2e.store import NoEngineError

__all__ = ["_site_server", "_weeds", "clouds", "engine", "pytest_collection_modifyitems", "site"]

HERE = Path(__file__).parent
# Read now: the environment is scrubbed before the tests run.
IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
ENGINE_SECONDS = 600  # the very first run makes the base image


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests here, and give those with containers the time that the very first run needs."""
    for item in items:
        if HERE in item.path.parents and "site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
        if HERE in item.path.parents and "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.podman)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(ENGINE_SECONDS))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Podman with a store of the tests' own. Skips where containers can't run; with CI=true that is a failure."""
    opened = Engine()
    try:
        opened.open()
    except NoEngineError as reason:
        if IN_CI:
            pytest.fail(f"containers must run in CI: {reason}", pytrace=False)
        pytest.skip(f"no container engine: {reason}")
    try:
        yield opened
    finally:
        opened.close()
