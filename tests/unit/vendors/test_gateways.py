"""Addresses that the job has already: a token is not sent where it was not issued for."""

import time
from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.anthropic import AnthropicExchanger
from keylease.exchange.openai import OpenAIExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease

UUID = "00000000-0000-0000-0000-000000000001"


def described(kind: Any, env: dict[str, str], **given: str) -> Lease:
    made = kind("ai", kind.complete(kind.Settings(**given), env), Context(env, Masker(), Deadline(5)))
    lease = Lease("ai", kind.kind, {}, None, expires_at=time.time() + 3600)
    made.describe(lease)
    return lease


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("https://gateway.example/v1", True),
        (r"https://gateway.example\.api.openai.com/v1", True),
        ("http://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", False),
        ("https://allowed.example/v1", False),
        ("", False),
    ],
)
def test_openai_s_key_for_another_host_is_told(where: str, *, told: bool) -> None:
    env = {"OPENAI_BASE_URL": where, "KEYLEASE_ALLOW_HOSTS": "allowed.example"}
    ids = {"identity_provider_id": "idp_1", "service_account_id": "user-1"}
    assert any("OPENAI_BASE_URL" in each for each in described(OpenAIExchanger, env, **ids).warnings) == told
    mine = described(OpenAIExchanger, env, base_url="https://api.openai.com/v1", **ids)
    assert mine.plain == {"OPENAI_BASE_URL": "https://api.openai.com/v1"}
    assert not mine.warnings


def test_anthropic_s_address_takes_the_place_of_another() -> None:
    ids = {"federation_rule_id": "fdrl_1", "organization_id": UUID, "service_account_id": "svac_1"}
    assert described(AnthropicExchanger, {}, **ids).plain == {}
    env = {"ANTHROPIC_BASE_URL": "https://gateway.example"}
    assert described(AnthropicExchanger, env, **ids).plain == {"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}
