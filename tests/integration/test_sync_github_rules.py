"""GitHub's own rules: visibility, selectors, limits, conditional requests, Apps."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keylease.context import Context
from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys, Ledger
from keylease.sync.model import Entry, Slot, Wanted
from keylease.targets.base import Place
from keylease.targets.github import GitHubTarget
from keylease.vendors.github_settings import GitHubSettings, GitHubTo, Select
from tests.fakes.github_rest import GitHubRest
from tests.fakes.loopback import Exchange, Received
from tests.fakes.misbehaving import redirect
from tests.leaks import Seeded

KEYS = Keys.of(Secret("k" * 32), "a test")


@pytest.fixture
def github() -> Iterator[GitHubRest]:
    """One organisation with a repository; all requests and answers are held against GitHub's description."""
    with GitHubRest() as server:
        server.add_repository("acme/trainer", environments={"prod"})
        yield server
        assert server.problems == []


def target_of(github: GitHubRest, seconds: float = 60, **settings: Any) -> GitHubTarget:
    context = Context({}, Masker(), Deadline(seconds))
    if "app_id" not in settings:
        settings["token"] = context.seal(settings.get("token") or github.add_token(), "token")
    given = {"url": github.url, "writes_per_minute": 10_000, "points_per_minute": 0, **settings}
    return GitHubTarget("github", GitHubTarget.complete(GitHubSettings(**given), {}), context)


def to(**given: Any) -> GitHubTo:
    made = GitHubTarget.checked(GitHubTo(**given))
    assert isinstance(made, GitHubTo)
    return made


def place_of(target: GitHubTarget, **given: Any) -> Place:
    [place] = target.places(to(**given))
    return place


def put(target: GitHubTarget, place: Place, name: str, value: str = "value", *, exists: bool = False) -> None:
    wanted = Wanted(target.slot(place, name), target.context.seal(value, name), "vault://kv/x", "vault://kv/*")
    target.put(place, Wanted(wanted.slot, wanted.value, "s", "p", "", place.options), exists=exists)


def stored(github: GitHubRest, kind: str, name: str = "NAME", place: str = "acme") -> Any:
    return github.store(place, kind).values[name]


# Visibility.

ORG_KINDS = ["secret", "variable", "dependabot", "codespaces"]


@pytest.mark.parametrize("kind", ORG_KINDS)
def test_an_organisations_new_value_is_for_private_repositories(github: GitHubRest, kind: str) -> None:
    target = target_of(github)
    put(target, place_of(target, organization="acme", kind=kind), "NAME")
    assert stored(github, kind).visibility == "private"


@pytest.mark.parametrize("kind", ORG_KINDS)
@pytest.mark.parametrize("visibility", ["all", "private", "selected"])
def test_visibility_and_selected_repositories_stay_as_they_are(github: GitHubRest, kind: str, visibility: str) -> None:
    ids = [github.add_repository(f"acme/r{n}").id for n in range(120)] if visibility == "selected" else []
    github.put("acme", kind, "NAME", "old", visibility=visibility, selected=list(ids))
    for listed in (True, False):
        target = target_of(github)
        place = place_of(target, organization="acme", kind=kind)
        if listed:
            assert target.list(place).remotes[Slot(kind, "NAME")].options == {"visibility": visibility}
        put(target, place, "NAME", f"new {listed}", exists=True)
        assert stored(github, kind).data == f"new {listed}".encode()
        assert stored(github, kind).visibility == visibility
        assert sorted(stored(github, kind).selected) == sorted(ids)


@pytest.mark.parametrize("kind", ORG_KINDS)
def test_declared_repositories_are_selected_and_compared(github: GitHubRest, kind: str) -> None:
    other = github.add_repository("acme/Other")
    target = target_of(github)
    declared = {"organization": "acme", "kind": kind, "repositories": ("acme/Other", "trainer")}
    place = place_of(target, **declared)
    assert place.options == {"visibility": "selected", "repositories": ("other", "trainer")}
    put(target, place, "NAME")
    assert len(stored(github, kind).selected) == 2
    put(target, place, "NAME", "new", exists=True)
    assert len(stored(github, kind).selected) == 2
    # What is ours is looked at: one request for each, no others.
    ledger = Ledger(place.address, "one")
    ledger.put(Entry(Slot(kind, "NAME"), "s", "p", "mac"))
    target.record(place, "one", ledger.texts(KEYS, target.record_size), {})
    stored(github, kind).selected = [other.id]
    again = target_of(github)
    remote = again.list(place_of(again, **declared)).remotes[Slot(kind, "NAME")]
    assert remote.options == {"visibility": "selected", "repositories": ("other",)}


def test_an_organisations_ledger_is_for_nobody(github: GitHubRest) -> None:
    target = target_of(github)
    target.record(place_of(target, organization="acme"), "one", {1: "{}"}, {})
    found = stored(github, "variable", "KEYLEASE_LEDGER_ONE__1")
    assert (found.visibility, found.selected) == ("selected", [])


def test_a_missing_repository_is_named(github: GitHubRest) -> None:
    target = target_of(github)
    with pytest.raises(NotFoundError, match="acme/nothing"):
        put(target, place_of(target, organization="acme", repositories=("nothing",)), "NAME")
    assert github.value("acme", "secret", "NAME") is None


# Selectors.


def selected(target: GitHubTarget, **given: Any) -> list[str]:
    places = target.places(to(organization="acme", select=Select(**given)))
    return [place.address.partition("?")[0].rpartition("/")[2] for place in places]


def test_repositories_by_name_topic_and_property(github: GitHubRest) -> None:
    github.add_repository("acme/ml-a", topics=("ml", "gpu"), properties={"tier": "prod", "teams": ["x", "y"]})
    github.add_repository("acme/ML-b", topics=("ml",), properties={"tier": "dev", "teams": None})
    github.add_repository("acme/ml-old", archived=True, topics=("ml",), properties={"tier": "prod"})
    target = target_of(github)
    assert selected(target, names="ml-*") == ["ml-a", "ml-b"]
    assert selected(target, names=("ml-?", "train*")) == ["ml-a", "ml-b", "trainer"]
    assert selected(target, topics="ml") == ["ml-a", "ml-b"]
    assert selected(target, topics=("ml", "gpu")) == ["ml-a"]
    assert selected(target, properties={"tier": "prod"}) == ["ml-a"]
    assert selected(target, properties={"teams": "y"}) == ["ml-a"]
    assert selected(target, names="*b", properties={"tier": "dev"}) == ["ml-b"]
    for given in ({"names": "nothing*"}, {"topics": "none"}, {"properties": {"tier": "test"}}, {"names": "ml-old"}):
        with pytest.raises(NotFoundError, match="matches none"):
            selected(target, **given)


def test_a_selector_over_many_repositories_takes_a_page_of_a_hundred_each(github: GitHubRest) -> None:
    for number in range(250):
        github.add_repository(f"acme/r{number}", properties={"tier": "prod"})
    target = target_of(github)
    assert len(selected(target, names="r*", properties={"tier": "prod"})) == 250
    assert len(github.requests) == 6


def test_a_selector_sees_what_the_credential_sees(github: GitHubRest) -> None:
    github.add_repository("acme/hidden")
    assert selected(target_of(github, token=github.add_token(["acme/trainer"]))) == ["trainer"]
    lacks = target_of(github, token=github.add_token(organization_custom_properties=""))
    with pytest.raises(RefusedError) as caught:
        selected(lacks, properties={"tier": "prod"})
    assert "Organization custom properties: read" in caught.value.diagnostics()


# What is asked for.


def test_two_requests_for_a_repository_and_none_for_each_secret(github: GitHubRest) -> None:
    for number in range(100):
        github.put("acme/trainer", "secret", f"N{number}", "value")
    target = target_of(github)
    listing = target.list(place_of(target, repository="acme/trainer"))
    assert len(listing.remotes) == 100
    assert [request.path for request in github.requests] == [
        "/repos/acme/trainer/actions/variables",
        "/repos/acme/trainer/actions/secrets",
    ]


def test_kinds_that_a_ledger_names_are_listed_though_nothing_is_written_to_them(github: GitHubRest) -> None:
    github.put("acme/trainer", "dependabot", "OLD", "value")
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    ledger = Ledger(place.address, "one")
    ledger.put(Entry(Slot("dependabot", "OLD"), "s", "p", "mac"))
    target.record(place, "one", ledger.texts(KEYS, target.record_size), {})
    assert Slot("dependabot", "OLD") in target_of(github).list(place).remotes
    assert Slot("codespaces", "OLD") not in target_of(github).list(place).remotes


def test_one_public_key_per_place_and_kind_and_only_to_write(github: GitHubRest) -> None:
    target = target_of(github)
    places = [place_of(target, repository="acme/trainer", kind=kind) for kind in ("secret", "dependabot")]
    target.list(places[0])
    assert github.store("acme/trainer", "secret").key_fetches == 0
    for place in places * 2:
        for number in range(3):
            put(target, place, f"N{number}")
    assert [github.store("acme/trainer", kind).key_fetches for kind in ("secret", "dependabot")] == [1, 1]


def test_what_was_created_meanwhile_is_left_alone(github: GitHubRest, seeded: Seeded) -> None:
    target = target_of(github)
    place = place_of(target, repository="acme/trainer", kind="variable")
    github.put("acme/trainer", "variable", "NAME", "theirs")
    with pytest.raises(RefusedError, match="a moment ago"):
        put(target, place, "NAME", seeded.new("ours"))
    assert github.value("acme/trainer", "variable", "NAME") == b"theirs"


def test_a_renamed_repository_is_followed_on_the_same_host_only(github: GitHubRest) -> None:
    github.add_repository("acme/new")
    target = target_of(github)
    place = place_of(target, repository="acme/old")

    def moved(request: Received) -> Any:
        where = request.target.replace("/acme/old/", "/acme/new/")
        return redirect(where, 301) if "/acme/old/" in request.target else None

    github.before = moved
    put(target, place, "NAME")
    assert Slot("secret", "NAME") in target.list(place).remotes
    github.before = lambda _: redirect("https://evil.example.com/x", 301)
    with pytest.raises(UnreachableError):
        target.list(place)


# Limits.


def test_reads_stop_before_the_hour_is_used_up_and_go_on_in_the_next(github: GitHubRest) -> None:
    github.limits.primary, github.limits.window = 12, 3.0
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    threads = [threading.Thread(target=target.list, args=(place,)) for _ in range(9)]
    github.before = lambda request: request.headers.__delitem__("If-None-Match")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(github.requests) == 18
    assert github.limits.hits == 0, "no request was sent in vain"


def test_a_used_up_hour_that_ends_after_the_deadline_is_said_at_once(github: GitHubRest) -> None:
    github.limits.primary = 2
    target = target_of(github, seconds=30)
    place = place_of(target, repository="acme/trainer")
    target.list(place)
    github.put("acme/trainer", "secret", "NEW", "value")
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"GMT.*deadline") as caught:
        target.list(place)
    assert time.monotonic() - started < 1
    assert "cache" in caught.value.diagnostics()


@pytest.mark.parametrize("code", [403, 429])
def test_a_secondary_limit_is_waited_for(github: GitHubRest, code: int) -> None:
    github.limits.writes, github.limits.retry_after = 3, 1
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    started = time.monotonic()
    for number in range(5):
        put(target, place, f"N{number}")
    assert len(github.held("acme/trainer", "secret")) == 5
    assert time.monotonic() - started > 1
    assert github.limits.hits == 1, "it is not asked again before the time"


def test_a_secondary_limit_without_a_time_is_a_minute(github: GitHubRest) -> None:
    github.limits.writes, github.limits.retry_after = 1, None
    target = target_of(github, seconds=20)
    place = place_of(target, repository="acme/trainer")
    put(target, place, "A")
    with pytest.raises(UnreachableError, match="secondary"):
        put(target, place, "B")


def test_writes_are_paced_and_one_at_a_time(github: GitHubRest) -> None:
    target = target_of(github, writes_per_minute=600)
    place = place_of(target, repository="acme/trainer")
    started = time.monotonic()
    threads = [threading.Thread(target=put, args=(target, place, f"N{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 0.7
    assert github.overlapping == 0
    assert len(github.held("acme/trainer", "secret")) == 8


def test_a_place_that_is_full_says_so(github: GitHubRest) -> None:
    target = target_of(github)
    for number in range(100):
        github.put("acme/trainer", "secret", f"N{number}", "value")
    place = place_of(target, repository="acme/trainer")
    limits = {next(iter(limit.kinds)): limit.most for limit in target.list(place).limits}
    assert limits == {"secret": 100, "variable": 499, "codespaces": 100}
    with pytest.raises(RefusedError):
        put(target, place, "ONE_MORE")


# Conditional requests.


def test_what_has_not_changed_costs_nothing(github: GitHubRest, seeded: Seeded, tmp_path: Path) -> None:
    cache, token = tmp_path / "cache.db", github.add_token()
    seeded.add(token)
    github.put("acme/trainer", "secret", "S", seeded.new("secret"))
    github.put("acme/trainer", "variable", "V", seeded.new("variable"))
    given = {"cache": str(cache), "token": token}

    def used() -> int:
        return github.limits.primary - github.limits.standing(token)[0]

    def listing(kind: str = "secret", **more: Any) -> Mapping[Slot, Any]:
        target = target_of(github, **{**given, **more})
        return target.list(place_of(target, repository="acme/trainer", kind=kind)).remotes

    first = listing()
    assert used() == 2
    assert listing().keys() == first.keys() == {Slot("secret", "S"), Slot("variable", "V")}
    assert used() == 2, "two 304s"
    assert cache.stat().st_mode & 0o777 == 0o600
    # A variable's value is never in the file (`seeded` looks), so who wants it asks.
    value = listing("variable")[Slot("variable", "V")].value
    assert value.reveal().encode() == github.value("acme/trainer", "variable", "V")
    assert used() == 3
    github.put("acme/trainer", "secret", "NEW", "value")
    assert Slot("secret", "NEW") in listing()
    # Another credential's answers are not used; nor is what somebody has written into the file.
    other = github.add_token()
    seeded.add(other)
    assert listing(token=other).keys() == listing().keys()
    with sqlite3.connect(cache) as file:
        file.execute("UPDATE pages SET body = replace(body, 'NEW', 'OLD')")
    file.close()
    assert Slot("secret", "NEW") in listing()


def test_a_broken_cache_is_made_anew(github: GitHubRest, tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    cache.write_bytes(b"no database" * 1000)
    target = target_of(github, cache=str(cache))
    place = place_of(target, repository="acme/trainer")
    target.list(place)
    assert cache.read_bytes().startswith(b"SQLite format 3")
    with pytest.raises(UsageError, match="cache"):
        target_of(github, cache=str(tmp_path / "no" / "such")).list(place)


# Credentials.


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def app_of(github: GitHubRest, seeded: Seeded, private: str, **settings: Any) -> GitHubTarget:
    seeded.add(private)
    github.on_token = seeded.add
    return target_of(github, app_id=1234, private_key=Secret(private), **settings)


def test_an_app_gets_a_token_per_account_and_renews_it(
    github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str]
) -> None:
    private, public = key_pair
    github.add_repository("other/x")
    github.organizations.discard("other")  # a person's account
    github.add_app("1234", public, {"acme": 7, "other": 8})
    target = app_of(github, seeded, private)
    places = [place_of(target, repository=name) for name in ("acme/trainer", "other/x")]
    for place in places * 2:
        put(target, place, "NAME")
    tokens = [request for request in github.requests if request.path.endswith("/access_tokens")]
    assert [request.path for request in tokens] == [
        "/app/installations/7/access_tokens",
        "/app/installations/8/access_tokens",
    ]
    github.app_token_life = 60  # ends before the spare time is over: each request needs a new one
    target = app_of(github, seeded, private, installation_id=7)
    before = len(github.requests)
    target.list(place_of(target, repository="acme/trainer"))
    target.list(place_of(target, repository="acme/trainer"))
    made = [r for r in github.requests[before:] if r.path.endswith("/access_tokens")]
    assert len(made) > 1
    assert not any(r.path.endswith("/installation") for r in github.requests[before:])


def test_an_apps_permissions_are_checked_before_anything_is_written(
    github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str]
) -> None:
    private, public = key_pair
    github.add_app("1234", public, {"acme": 7}, secrets="read", environments="")
    target = app_of(github, seeded, private)
    for given in ({}, {"environment": "prod"}):
        place = place_of(target, repository="acme/trainer", **given)
        with pytest.raises(RefusedError, match="nothing was written") as caught:
            target.record(place, "one", {1: "{}"}, {})
        wanted = "Environments" if given else "Secrets"
        assert f"`{wanted}: read and write`" in caught.value.diagnostics()
    assert [path for _, path in github.log if not path.startswith("/app/")] == []


def test_apps_that_are_none(github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str]) -> None:
    private, public = key_pair
    github.add_app("1234", public, {"other": 8})
    target = app_of(github, seeded, private)
    with pytest.raises(NotFoundError, match="there is none") as missing:
        target.list(place_of(target, repository="acme/trainer"))
    assert "install it" in missing.value.diagnostics()
    github.apps["1234"] = (public.replace("A", "B", 0), {"acme": 7}, github.apps["1234"][2])
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    target = app_of(github, seeded, stranger.decode())
    with pytest.raises(RefusedError, match="401") as refused:
        target.list(place_of(target, repository="acme/trainer"))
    assert "belongs to this App" in refused.value.diagnostics()
    target = app_of(github, seeded, "-----BEGIN NOTHING-----")
    with pytest.raises(UsageError, match="no RSA key"):
        target.list(place_of(target, repository="acme/trainer"))


def test_an_apps_key_from_a_file(github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str], tmp_path: Path) -> None:
    private, public = key_pair
    seeded.add(private)
    github.on_token = seeded.add
    github.add_app("1234", public, {"acme": 7})
    path = tmp_path / "key.pem"
    path.write_text(private)
    seeded.allow_file(path, private)
    target = target_of(github, app_id="1234", private_key_file=str(path))
    assert target.list(place_of(target, repository="acme/trainer")).remotes == {}
    gone = target_of(github, app_id="1234", private_key_file=str(tmp_path / "none"))
    with pytest.raises(UsageError, match="can't read"):
        gone.list(place_of(gone, repository="acme/trainer"))


def test_the_jobs_own_token_is_told_apart(github: GitHubRest, seeded: Seeded) -> None:
    token = github.add_token(kind="integration", secrets="", actions_variables="")
    seeded.add(token)
    env = {"SYNC_TOKEN": token, "GITHUB_TOKEN": token, "GITHUB_ACTIONS": "true"}
    with pytest.raises(UsageError, match="can't write secrets"):
        GitHubTarget.complete(GitHubSettings(token_env="SYNC_TOKEN"), env)
    # Where only one of the two names is there, GitHub's refusal is explained.
    target = target_of(github, token=token)
    with pytest.raises(RefusedError) as caught:
        target.list(place_of(target, repository="acme/trainer"))
    assert "GITHUB_TOKEN can never have it" in caught.value.diagnostics()


def test_an_expired_token(github: GitHubRest, seeded: Seeded) -> None:
    token = github.add_token()
    seeded.add(token)
    github.credentials[token].expires_at = 0
    target = target_of(github, token=token)
    with pytest.raises(RefusedError, match="401") as caught:
        target.list(place_of(target, repository="acme/trainer"))
    assert "expired" in caught.value.diagnostics()


def test_a_token_without_single_sign_on(github: GitHubRest) -> None:
    def sso(exchange: Exchange) -> None:
        headers = {"X-GitHub-SSO": "required; url=https://github.com/orgs/acme/sso"}
        exchange.answer_json(403, {"message": "Resource protected by organization SAML enforcement."}, headers)

    github.before = lambda _: sso
    target = target_of(github)
    with pytest.raises(RefusedError) as caught:
        target.list(place_of(target, repository="acme/trainer"))
    assert "single sign-on" in caught.value.diagnostics()


def test_permissions_are_the_least() -> None:
    context = Context({}, Masker(), Deadline(10))
    target = GitHubTarget("github", GitHubSettings(token=context.seal("t" * 20, "t")), context)
    told = target.permissions([to(repository="acme/x"), to(repository="acme/x", kind="dependabot")])
    assert told == [
        "Dependabot secrets: read and write",
        "Metadata: read",
        "Secrets: read and write",
        "Variables: read and write",
    ]
    assert target.permissions([to(repository="acme/x", environment="prod", kind="variable")]) == [
        "Environments: read and write",
        "Metadata: read",
    ]
    told = target.permissions([to(organization="acme", kind="codespaces")])
    assert "Organization codespaces secrets: read and write" in told
    assert "Organization variables: read and write" in told


def test_ledgers_of_two_servers_are_not_each_others(github: GitHubRest) -> None:
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    assert "host=127.0.0.1" in place.address
    ledger = Ledger(place.address, "one")
    ledger.put(Entry(Slot("secret", "A"), "s", "p", "mac"))
    texts = ledger.texts(KEYS, target.record_size)
    assert ledgers.read("github://acme/trainer", "one", texts, KEYS).unknown
    with pytest.raises(UsageError, match="is not the server"):
        target.places(GitHubTarget.parse("github://acme/trainer?host=ghe.example.com"))
