"""`keylease whoami` prints what others chose (a workflow's name, a role): no line may become a command of the log."""

import json
import time

import jwt
import pytest

from keylease import commands
from keylease.cli import parser

COMMAND = "##[stop-commands]x"


@pytest.mark.parametrize("form", ["text", "json"])
def test_foreign_text_is_no_workflow_command(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    claims = {"iss": "https://issuer.example.com", "sub": "job", "aud": "a", "workflow": COMMAND}
    token = jwt.encode({**claims, "exp": int(time.time()) + 600}, "k" * 32, "HS256")
    words = ["whoami", "--audience", "a", "--url", "http://127.0.0.1:1", "--role", COMMAND, "--format", form]
    assert commands.run(parser().parse_args(words), {"KEYLEASE_ID_TOKEN": token}) == 0
    out = capsys.readouterr().out
    assert "##[" not in out
    assert "stop-commands" in out
    if form == "json":
        assert json.loads(out)["identities"][0]["claims"]["workflow"] == COMMAND
