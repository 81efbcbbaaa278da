"""GitHub's own rules: visibility, selectors, what is asked for."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from keylease.context import Context
from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.outputs.sync_report import Report, as_markdown
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys, Ledger
from keylease.sync.model import Entry, Slot
from keylease.targets.github import GitHubTarget
from keylease.vendors.github_settings import GitHubSettings, Select
from tests.fakes.github_rest import GitHubRest
from tests.fakes.loopback import Received
from tests.fakes.misbehaving import Behaviour, Misbehaving, drop, redirect, reply
from tests.integration.github_sync import place_of, put, stored, target_of, to
from tests.leaks import Seeded

KEYS = Keys.of(Secret("k" * 32), "a test")


@pytest.fixture
def github() -> Iterator[GitHubRest]:
    """One organisation with a repository; all requests and answers are held against GitHub's description."""
    with GitHubRest() as server:
        server.add_repository("acme/trainer", environments={"prod"})
        yield server
        assert server.problems == []


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


def listed_by(answer: Callable[[int], Behaviour]) -> list[str]:
    """The repositories of an organisation whose server answers so, by the number of the page."""
    with Misbehaving() as server:
        context = Context({}, Masker(), Deadline(10))
        server.on("/orgs/acme/repos", *(answer(number) for number in (1, 2)))
        settings = GitHubSettings(url=server.url, token=context.seal("t" * 20, "token"), points_per_minute=0)
        return selected(GitHubTarget("github", GitHubTarget.complete(settings, {}), context))


def repository(full: str) -> dict[str, object]:
    return {"full_name": full, "name": full.rpartition("/")[2], "archived": False}


def test_a_full_page_without_a_link_is_not_the_last_one() -> None:
    """A proxy may drop the header: repositories would be left out without a word."""
    pages = {1: [repository(f"acme/r{n}") for n in range(100)], 2: [repository("acme/last")]}
    assert "last" in listed_by(lambda number: reply(json=pages[number]))


def test_no_value_goes_where_an_answer_points() -> None:
    with pytest.raises(UnreachableError, match="of another account"):
        listed_by(lambda _: reply(json=[repository("acme/ours"), repository("evil/ours")]))


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


def test_names_of_environments_are_quoted(github: GitHubRest) -> None:
    name = "Prod/EU west?x=1&y#é"
    github.repositories["acme/trainer"].environments.add(name.lower())
    target = target_of(github)
    place = place_of(target, repository="acme/trainer", environment=name)
    put(target, place, "NAME")
    assert github.value(f"acme/trainer?{name}", "secret", "NAME") == b"value"
    [again] = target.places(target.parse(place.address))
    assert again.address == place.address
    assert Slot("secret", "NAME") in target.list(again).remotes


def test_other_peoples_variables_are_not_masked_in_our_output(github: GitHubRest) -> None:
    github.put("acme/trainer", "variable", "STAGE", "production-eu")
    target = target_of(github)
    listing = target.list(place_of(target, repository="acme/trainer", kind="variable"))
    assert listing.remotes[Slot("variable", "STAGE")].value == Secret("production-eu")
    assert target.context.masker.scrub("production-eu") == "production-eu"


@pytest.mark.parametrize("kind", ["secret", "variable"])
def test_a_write_that_may_have_been_done_is_never_called_refused(github: GitHubRest, kind: str) -> None:
    target = target_of(github)
    place = place_of(target, repository="acme/trainer", kind=kind)
    seen: list[str] = []

    def lost(request: Received) -> Any:
        seen.append(request.method)
        return drop()

    def then_refused(request: Received) -> Any:
        return reply(403, json={"message": "no"}) if seen and request.method != "GET" else None

    github.before, github.after = then_refused, lost
    with pytest.raises(UnreachableError, match="may have been carried out"):
        put(target, place, "NAME")
    github.before = github.after = lambda _: None
    assert github.value("acme/trainer", kind, "NAME") == b"value"


def test_a_404_to_a_delete_is_not_taken_for_done(github: GitHubRest) -> None:
    github.put("acme/trainer", "secret", "NAME", "value")
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    hidden = reply(404, json={"message": "Not Found"})
    github.before = lambda request: hidden if request.method == "DELETE" else None
    with pytest.raises(RefusedError, match="still there"):
        target.delete(place, Slot("secret", "NAME"))
    github.before = lambda _: hidden  # the repository is no longer to be seen at all
    with pytest.raises(NotFoundError):
        target.delete(place, Slot("secret", "NAME"))


def test_the_fake_knows_what_github_describes() -> None:
    with GitHubRest() as server:
        server.add_repository("acme/trainer")
        headers = {"Authorization": f"Bearer {server.add_token()}"}
        variables = f"{server.url}/repos/acme/trainer/actions/variables"
        asked = requests.get(variables, params={"size": 3}, headers=headers, timeout=5)
        made = requests.post(variables, json={"name": "A", "value": "1", "masked": True}, headers=headers, timeout=5)
        assert (asked.status_code, made.status_code) == (200, 201)
        assert len(server.problems) == 2
        assert "the parameter size is not described" in server.problems[0]
        assert "masked is not described" in server.problems[1]
        secret = {"encrypted_value": "no box", "key_id": server.store("acme/trainer", "secret").key_id}
        put_secret = variables.replace("variables", "secrets") + "/A"
        assert requests.put(put_secret, json=secret, headers=headers, timeout=5).status_code == 422
        assert requests.get(f"{server.url}/repos/acme/trainer", timeout=5).status_code == 401


@pytest.mark.parametrize("kind", ["secret", "variable"])
def test_a_value_that_an_answer_quotes_is_in_no_error(github: GitHubRest, seeded: Seeded, kind: str) -> None:
    """Nor the beginning of one that is cut, nor one that is escaped in a summary before it is looked for."""
    target = target_of(github)
    place = place_of(target, repository="acme/trainer", kind=kind)
    value = f"{seeded.new('value')}_{'x' * 400}"
    said = {"message": f"{value} is bad", "errors": [{"field": value, "code": value}]}
    github.before = lambda request: reply(422, json=said) if request.method != "GET" else None
    with pytest.raises(RefusedError) as caught:
        put(target, place, "NAME", value)
    shown = f"{caught.value.diagnostics(debug=True)} {as_markdown(Report([], [caught.value.summary]))}"
    assert "is bad" in caught.value.summary
    assert value[:20] not in shown
    assert "xxxx" not in shown
