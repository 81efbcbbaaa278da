"""A lease's file that follows the job's identity token while `exec` runs."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from keylease.commands import _rewriting
from keylease.model import Export, IdentityToken, Kept
from keylease.outputs.files import Places, SecretFiles, place
from keylease.pipelines.renew import NothingNewerError
from keylease.secret import Secret


class Tokens:
    """A new token each time, which lives 300 s."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    def token(self, audience: str, *, fresh: bool = False) -> IdentityToken:
        self.asked.append((audience, fresh))
        claims = {"exp": time.time() + 300}
        return IdentityToken(Secret(f"token {len(self.asked)}"), claims, "test", "test", audience)


def test_the_file_gets_the_new_token_and_keeps_its_name_and_mode(tmp_path: Path) -> None:
    files = SecretFiles(Places({"WORKSPACE": str(tmp_path), "TMPDIR": str(tmp_path)}))
    exports = place([Export("TOKEN_FILE", Secret("token 0"), "cloud", file="cloud-token")], files)
    path = Path(exports[0].value.reveal())
    tokens: Any = Tokens()
    kept = Kept("TOKEN_FILE", "cloud", lambda token: token.jwt, time.time() + 60)
    renewal = _rewriting(kept, exports, files, tokens)
    assert 59 < renewal.ttl <= 60
    assert 299 < renewal.renew() <= 300
    assert path.read_text() == "token 1"
    assert os.stat(path).st_mode & 0o777 == 0o600
    renewal.renew()
    assert path.read_text() == "token 2"
    assert tokens.asked == [("cloud", True)] * 2
    assert files.discard() == []
    assert not path.exists()


def test_content_that_ends_before_the_token_is_renewed_by_its_own_lifetime(tmp_path: Path) -> None:
    files = SecretFiles(Places({"WORKSPACE": str(tmp_path), "TMPDIR": str(tmp_path)}))
    exports = place([Export("TOKEN_FILE", Secret("token 0"), "cloud", file="cloud-token")], files)
    tokens: Any = Tokens()
    kept = Kept("TOKEN_FILE", "cloud", lambda token: token.jwt, time.time() + 60, lifetime=100)
    assert 99 < _rewriting(kept, exports, files, tokens).renew() <= 100
    longer = Kept("TOKEN_FILE", "cloud", lambda token: token.jwt, time.time() + 60, lifetime=1000)
    assert 299 < _rewriting(longer, exports, files, tokens).renew() <= 300
    files.discard()


def test_a_token_that_is_still_the_same_is_no_renewal(tmp_path: Path) -> None:
    """GitLab's lies in a variable; a projected one is replaced by the kubelet, but not when we want it."""
    files = SecretFiles(Places({"WORKSPACE": str(tmp_path), "TMPDIR": str(tmp_path)}))
    exports = place([Export("TOKEN_FILE", Secret("token 0"), "cloud", file="cloud-token")], files)
    tokens: Any = Tokens()
    kept = Kept("TOKEN_FILE", "cloud", lambda token: token.jwt, time.time() + 400)
    with pytest.raises(NothingNewerError, match="test holds no newer identity token"):
        _rewriting(kept, exports, files, tokens).renew()
    assert Path(exports[0].value.reveal()).read_text() == "token 0"
    files.discard()
