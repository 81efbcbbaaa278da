"""What `collect:` needs and is not there: told alike by every collector there is, before anybody is asked."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from keylease.collectors.base import Collector
from keylease.collectors.credentials import secret_of
from keylease.collectors.openai import OpenAISettings
from keylease.config.convert import fields_of
from keylease.context import Context
from keylease.errors import UsageError
from keylease.gathering import Run, Wanted, gather
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.pipelines.signals import Signals
from keylease.registry import COLLECTORS
from keylease.secret import Secret

WHAT: dict[str, dict[str, Any]] = {
    "github": {"organization": "acme"},
    "gitlab": {"group": "acme"},
    "gcp": {"projects": ["acme-prod"]},
    "databricks": {"host": "https://acme.cloud.databricks.com"},
}
"""What else an item must have."""

ABSENT = "NOT_SET_IN_THIS_JOB"

ASKED_WITH: dict[str, dict[str, Any]] = {
    "github": {"type": "github", "token_env": ABSENT},
    "gitlab": {"type": "gitlab", "token_env": ABSENT},
    "jenkins": {"type": "jenkins", "user": "audit", "token_env": ABSENT},
    "vault": {"type": "vault", "url": "https://127.0.0.1:9", "method": "token", "token_env": ABSENT},
}
"""Targets and providers of collectors that can't do without, whose credential is not there."""

ENV = {"JENKINS_URL": "http://127.0.0.1:9/"}


def told(tmp_path: Path, kind: type[Collector], **more: Any) -> UsageError:
    """What a run with one item of this type raises; nothing listens where it could be asked."""
    item: dict[str, Any] = {"type": kind.type, **WHAT.get(kind.type, {}), **more}
    content: dict[str, Any] = {"version": 1, "audit": {"collect": [item]}}
    if kind.via and not kind.optional:
        content[f"{kind.via}s"] = {"asked": ASKED_WITH[kind.type]}
    path = tmp_path / "keylease.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    run = Run(ENV, logging.getLogger("keylease.test"), Masker(), Signals(), quiet=True)
    with pytest.raises(UsageError) as caught:
        gather(Wanted("", config=str(path)), run)
    return caught.value


def variables(kind: type[Collector]) -> list[str]:
    """The settings of its own that name a variable with a credential."""
    return [name for name in fields_of(kind.Settings) if name.endswith("_env")]


def asking() -> list[type[Collector]]:
    """All that ask somebody."""
    return [kind for name in COLLECTORS if (kind := COLLECTORS.load(name)).via or variables(kind)]


def test_all_but_the_jobs_own_ask_somebody() -> None:
    assert {*COLLECTORS} - {kind.type for kind in asking()} == {"job"}


@pytest.mark.parametrize("kind", asking(), ids=lambda kind: kind.type)
def test_without_a_credential_it_is_wrongly_used(tmp_path: Path, kind: type[Collector]) -> None:
    error = told(tmp_path, kind)
    assert error.exit_code == 2
    assert "keylease.yml:" in error.summary
    assert error.change


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in asking() for name in variables(kind)], ids=str)
def test_a_variable_that_is_not_set_is_no_refusal(tmp_path: Path, kind: type[Collector], name: str) -> None:
    error = told(tmp_path, kind, **{name: ABSENT})
    assert error.exit_code == 2
    assert ABSENT in error.summary
    assert f"`{name}`" in error.summary


@pytest.mark.parametrize("kind", asking(), ids=lambda kind: kind.type)
def test_a_misspelt_key_is_told_before_a_variable_that_is_not_set(tmp_path: Path, kind: type[Collector]) -> None:
    error = told(tmp_path, kind, **dict.fromkeys(variables(kind)[:1], ABSENT), sellect="x")
    assert "audit.collect[0].sellect: unknown key" in error.summary


def test_all_items_that_lack_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keylease.yml"
    targets = {"gitlab": ASKED_WITH["gitlab"], "jenkins": ASKED_WITH["jenkins"]}
    items = [{"type": "gitlab", "group": "acme"}, {"type": "jenkins"}]
    path.write_text(yaml.safe_dump({"version": 1, "targets": targets, "audit": {"collect": items}}), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        gather(Wanted("", config=str(path)), Run(ENV, logging.getLogger("keylease.test"), Masker(), Signals()))
    assert "audit.collect[0]: GitLab" in caught.value.summary
    (other,) = caught.value.also
    assert "audit.collect[1]: Jenkins" in other.summary


@pytest.mark.parametrize("value", ["two words", "a\nb", "é", b"\xff", ""])
def test_what_was_read_for_a_header_must_fit_into_one(value: str | bytes) -> None:
    """A manager may hold anything; no value of it is told."""
    settings = OpenAISettings(admin_key=Secret(value))
    with pytest.raises(UsageError, match="`admin_key`: what was read for it is no credential") as caught:
        secret_of("OpenAI", settings, "admin_key", Context(ENV, Masker(), Deadline(1)))
    assert "two words" not in caught.value.diagnostics(debug=True)
