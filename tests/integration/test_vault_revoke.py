"""Revoking on a real OpenBao: what was taken is gone, whoever asks how often."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.model import Revocation
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, drop, reply, status
from tests.integration.vault_job import Job, new_context, revoke_elsewhere
from tests.servers.openbao import OpenBao
from tests.servers.postgres import Postgres
from tests.servers.process import wait_until
from tests.servers.trust import Trust
from tests.servers.valkey import Valkey

Unique = Callable[[str], str]


def revocation_of(job: Job) -> Revocation:
    assert job.lease is not None
    assert job.lease.revocation is not None
    return job.lease.revocation


def user_of(job: Job, path: str) -> str:
    return job.read(path).value(["username"], job.context.seal).reveal()


def test_the_token_and_its_database_users_are_gone(
    trust: Trust, valkey: Valkey, postgres: Postgres, unique: Unique, proxy: Proxy
) -> None:
    in_valkey = trust.bao.database_valkey(unique("db"), valkey, unique("role"))
    in_postgres = trust.bao.database_postgres(unique("db"), postgres, unique("role"))
    trust.grant(in_valkey)
    trust.grant(in_postgres)
    job = Job(trust, url=proxy.url)
    users = user_of(job, in_valkey), user_of(job, in_postgres)
    assert users[0] in valkey.users()
    assert users[1] in postgres.roles()
    assert len(revocation_of(job).children) == 2
    revoke_elsewhere(revocation_of(job))
    assert trust.bao.token_lookup(job.vault_token) is None
    wait_until(lambda: users[0] not in valkey.users() and users[1] not in postgres.roles(), 5, "revoked users")
    assert trust.bao.leases(in_valkey) == []
    assert proxy.counts["/v1/auth/token/revoke-self"] == 1
    assert proxy.counts["/v1/sys/leases/revoke"] == 0, "they die with their token"


def test_revoking_again_is_no_error(trust: Trust) -> None:
    job = Job(trust)
    job.exchange()
    for _ in range(3):
        revoke_elsewhere(revocation_of(job))


def test_a_token_that_expired_is_no_error(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    job = Job(Trust.create(openbao, issuer, token_ttl="1s", token_max_ttl="1s"))
    job.exchange()
    openbao.wait_gone(job.vault_token)
    revoke_elsewhere(revocation_of(job))


def test_a_policy_that_forbids_it_is_not_taken_for_gone(
    openbao: OpenBao, issuer: OIDCIssuer, valkey: Valkey, unique: Unique
) -> None:
    """Neither lookup-self nor revoke-self is allowed, and still the two reasons for a 403 are told apart."""
    path = openbao.database_valkey(unique("db"), valkey, unique("role"))
    stanzas = f'path "{path}" {{ capabilities = ["read"] }}\n'
    policy = openbao.policy(unique("bare"), stanzas)
    job = Job(Trust.create(openbao, issuer, token_policies=[policy]))
    user = user_of(job, path)
    with pytest.raises(RefusedError, match=r"lease .* permission denied on sys/leases/revoke") as lease_error:
        revoke_elsewhere(revocation_of(job))
    assert 'path "sys/leases/revoke" { capabilities = ["update"] }' in lease_error.value.change
    assert user in valkey.users()

    openbao.policy(policy, stanzas + 'path "sys/leases/revoke" { capabilities = ["update"] }')
    with pytest.raises(RefusedError, match="the token was not revoked") as caught:
        revoke_elsewhere(revocation_of(job))
    assert 'path "auth/token/revoke-self" { capabilities = ["update"] }' in caught.value.change
    assert user not in valkey.users(), "its leases are revoked all the same"

    openbao.write("auth/token/revoke", token=job.vault_token)
    revoke_elsewhere(revocation_of(job))


def test_batch_tokens_end_their_leases(openbao: OpenBao, issuer: OIDCIssuer, valkey: Valkey, unique: Unique) -> None:
    path = openbao.database_valkey(unique("db"), valkey, unique("role"))
    trust = Trust.create(openbao, issuer, token_type="batch")
    trust.grant(path)
    job = Job(trust)
    user = user_of(job, path)
    with pytest.raises(RefusedError, match="batch token"):
        revoke_elsewhere(revocation_of(job))
    assert user not in valkey.users()


def test_a_given_token_loses_its_leases_and_lives(trust: Trust, valkey: Valkey, unique: Unique) -> None:
    path = trust.bao.database_valkey(unique("db"), valkey, unique("role"))
    trust.grant(path)
    token = trust.bao.new_token(policies=[trust.policy], no_default_policy=True)
    job = Job(trust, env={"VAULT_TOKEN": token}, method="token", role="")
    job.lease = job.exchanger().exchange(None)
    users = [user_of(job, path) for _ in range(3)]
    assert set(users) <= set(valkey.users())
    revoke_elsewhere(revocation_of(job))
    assert not set(users) & set(valkey.users()), "gone when revoke returns"
    assert trust.bao.token_lookup(token) is not None
    revoke_elsewhere(revocation_of(job))
    trust.bao.write("auth/token/revoke", token=token)
    revoke_elsewhere(revocation_of(job))


def test_a_lease_that_can_not_be_revoked_is_an_error(trust: Trust, unique: Unique) -> None:
    """The database is gone: OpenBao can't drop the user, and says so."""
    with Valkey() as server:
        path = trust.bao.database_valkey(unique("db"), server, unique("role"))
        trust.grant(path)
        token = trust.bao.new_token(policies=[trust.policy], no_default_policy=True)
        job = Job(trust, env={"VAULT_TOKEN": token}, method="token", role="", retries=0)
        job.lease = job.exchanger().exchange(None)
        user_of(job, path)
    with pytest.raises(KeyleaseError) as caught:
        revoke_elsewhere(revocation_of(job))
    assert server.password not in caught.value.diagnostics(debug=True)


@pytest.mark.parametrize("fault", [status(503), drop(), status(429)], ids=["503", "drop", "429"])
def test_one_fault_is_survived(trust: Trust, proxy: Proxy, fault: Any) -> None:
    job = Job(trust, url=proxy.url)
    job.exchange()
    proxy.fail("/v1/auth/token/revoke-self", fault)
    revoke_elsewhere(revocation_of(job))
    assert trust.bao.token_lookup(job.vault_token) is None


def test_a_connection_that_drops_after_the_work_is_done(trust: Trust, proxy: Proxy) -> None:
    """The token is gone, but the answer was lost: the second try meets a dead token."""
    job = Job(trust, url=proxy.url)
    job.exchange()
    trust.bao.write("auth/token/revoke", token=job.vault_token)
    proxy.fail("/v1/auth/token/revoke-self", drop())
    revoke_elsewhere(revocation_of(job))


def test_a_sealed_server_is_an_error(new_openbao: OpenBao, issuer: OIDCIssuer) -> None:
    new_openbao.initialise()
    new_openbao.unseal()
    job = Job(Trust.create(new_openbao, issuer), retries=0)
    job.exchange()
    new_openbao.seal()
    with pytest.raises(UnreachableError, match="is sealed"):
        revoke_elsewhere(revocation_of(job))


def test_nothing_to_revoke_sends_nothing(proxy: Proxy) -> None:
    from keylease.exchange.vault import VaultExchanger

    VaultExchanger.revoke(Revocation("vault", "x", {"url": proxy.url}, None), new_context())
    assert not proxy.requests


def test_leases_are_revoked_side_by_side(trust: Trust, proxy: Proxy, valkey: Valkey, unique: Unique) -> None:
    path = trust.bao.database_valkey(unique("db"), valkey, unique("role"))
    trust.grant(path)
    token = trust.bao.new_token(policies=[trust.policy], no_default_policy=True)
    job = Job(trust, url=proxy.url, env={"VAULT_TOKEN": token}, method="token", role="")
    job.lease = job.exchanger().exchange(None)
    for _ in range(6):
        user_of(job, path)
    proxy.latency = 0.5
    started = time.monotonic()
    revoke_elsewhere(revocation_of(job))
    assert time.monotonic() - started < 2.5, "one after the other would take 3 s"


def test_a_refusal_by_a_firewall_is_not_taken_for_gone(trust: Trust, proxy: Proxy) -> None:
    """Whoever answers 403 to everything must not make a live token look revoked."""
    job = Job(trust, url=proxy.url)
    job.exchange()
    page = reply(403, body=b"<html>Forbidden</html>", content_type="text/html")
    proxy.fail("*", *[page] * 4)
    with pytest.raises(UnreachableError, match="by something in front of"):
        revoke_elsewhere(revocation_of(job))
    assert trust.bao.token_lookup(job.vault_token) is not None
