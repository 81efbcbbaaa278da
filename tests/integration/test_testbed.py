"""The test bed itself: its servers are real, its faults are faults, its leak check catches leaks."""

from tests.fakes.github_oidc import OIDCIssuer
from tests.leaks import Seeded
from tests.servers.openbao import OpenBao
from tests.servers.trust import Trust


def test_openbao_accepts_a_token_of_the_issuer(trust: Trust) -> None:
    token = trust.login()
    found = trust.bao.token_lookup(token)
    assert found is not None
    assert found["policies"] == [trust.policy]


def test_audit_records_requests(openbao: OpenBao, seeded: Seeded, trust: Trust) -> None:
    trust.kv.put("ci", {"key": seeded.new()})
    assert any(
        line["type"] == "request" and line["request"]["path"] == trust.kv.api("ci") for line in openbao.audit_lines()
    )


def test_issuer_env(issuer: OIDCIssuer) -> None:
    assert issuer.github_env()["GITHUB_REPOSITORY"] == "acme/trainer"
