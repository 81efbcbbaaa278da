"""Where `keylease lease` puts values on platforms without a post step."""

import logging
from pathlib import Path

import pytest

from keylease.model import Export, Plan
from keylease.secret import Secret
from keylease.stores import TextStore


@pytest.mark.parametrize("keep", [True, False])
def test_files_that_nobody_will_delete_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], *, keep: bool
) -> None:
    env = {"WORKSPACE": str(tmp_path), "TMPDIR": str(tmp_path)}
    log = logging.getLogger("test_stores")
    store = TextStore(env, "shell", None, str(tmp_path / "state"), log, keep=keep)
    store.deliver([Export("TOKEN_FILE", Secret("value"), "cloud", file="cloud-token")], Plan({}))
    (made,) = tmp_path.glob("*/cloud-token")
    assert capsys.readouterr().out == f"export TOKEN_FILE='{made}'\n"
    told = f"nothing is kept for `keylease revoke`, so nobody deletes {made}: do it yourself"
    assert [record.getMessage() for record in caplog.records] == ([] if keep else [told])
    assert (tmp_path / "state").exists() == keep
    command = f"`keylease revoke --state {tmp_path / 'state'}`"
    assert store.note() == (f"delete {made} with {command}; nothing else can be revoked" if keep else "")
