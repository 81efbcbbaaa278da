"""GitLab's variables by the real target, against the fake of its API: rules, levels, scopes, versions, faults."""

from collections.abc import Iterator
from typing import Any

import gitlab as python_gitlab
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.context import Context
from keylease.errors import NotFoundError, RefusedError, UnreachableError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.sync.model import Change, Policy, Slot, Wanted
from keylease.targets.gitlab import GitLabTarget
from keylease.vendors.gitlab_rules import mask_problem
from keylease.vendors.gitlab_settings import GitLabSettings
from keylease.vendors.gitlab_to import GitLabTo, Projects
from tests.fakes.gitlab_rest import MASKED, MASKED_AND_RAW, GitLab
from tests.fakes.misbehaving import Misbehaving, reply
from tests.integration.gitlab_sync import LONG, TOKEN, Sync, connected, served
from tests.leaks import Seeded


@pytest.fixture
def server() -> Iterator[GitLab]:
    with served() as made:
        yield made


def by_name(changes: list[Change]) -> dict[str, Change]:
    return {change.slot.name: change for change in changes}


def actions(changes: list[Change]) -> dict[str, str]:
    return {change.slot.name: change.action for change in changes}


# The fake, seen by GitLab's own rules and another client.


def test_python_gitlab_gets_along_with_the_fake(server: GitLab) -> None:
    client = python_gitlab.Gitlab(server.url, private_token=TOKEN, keep_base_url=True)
    project = client.projects.get("acme/trainer", lazy=True)
    for scope in ("*", "production"):
        made = project.variables.create({"key": "K", "value": f"of {scope}", "environment_scope": scope})
        assert (made.key, made.value, made.environment_scope, made.masked) == ("K", f"of {scope}", scope, False)
    with pytest.raises(python_gitlab.GitlabGetError, match="multiple variables") as caught:
        project.variables.get("K")
    assert caught.value.response_code == 409
    assert project.variables.get("K", filter={"environment_scope": "production"}).value == "of production"
    project.variables.update("K", {"value": "new"}, filter={"environment_scope": "production"})
    project.variables.delete("K", filter={"environment_scope": "*"})
    assert [(each.value, each.environment_scope) for each in project.variables.list(iterator=True)] == [
        ("new", "production")
    ]
    with pytest.raises(python_gitlab.GitlabCreateError, match="is invalid"):
        project.variables.create({"key": "M", "value": "short", "masked": True})
    with pytest.raises(python_gitlab.GitlabCreateError, match=r"\(K\) has already been taken"):
        project.variables.create({"key": "K", "value": "x", "environment_scope": "production"})
    group = client.groups.get("acme", lazy=True)
    hidden = group.variables.create({"key": "H", "value": LONG, "masked_and_hidden": True})
    assert (hidden.value, hidden.hidden, hidden.masked) == (None, True, True)
    assert client.variables.create({"key": "I", "value": "1"}).key == "I"
    assert [each.path_with_namespace for each in group.projects.list(iterator=True, include_subgroups=True)]
    assert client.personal_access_tokens.get("self", lazy=False).scopes == ["api"]


@given(st.text(st.sampled_from("aZ9_+=/@:.~- \t\r\n\f\v$!\u00fc\u2028\u00a0"), max_size=12), st.booleans())
@settings(max_examples=500)
def test_mask_rules_are_gitlabs(value: str, raw: bool) -> None:
    accepted = (MASKED_AND_RAW if raw else MASKED).fullmatch(value) is not None
    assert (mask_problem(value, raw=raw) == "") == accepted


# One value that breaks a rule.


def test_one_value_that_cannot_be_masked_fails_alone(server: GitLab, seeded: Seeded) -> None:
    sync = Sync(server, GitLabTo(project="acme/trainer"))
    bad = {
        "SHORT": ("seven77", "fewer than 8"),
        "BLANK": ("has a blank in it", "blanks"),
        "LINES": ("first-line-here\nsecond-line", "several lines"),
        "LARGE": ("x" * 131_070, "128 KiB"),
        "BAD-NAME": (LONG, "A-Z, a-z"),
    }
    for value, _ in bad.values():
        seeded.add(value)
    good = {f"GOOD_{n}": seeded.new(f"good-{n}") for n in range(3)} | {"DOLLAR": seeded.new("pa$$word-$HOME")}
    applied = sync.run({name: value for name, (value, _) in bad.items()} | good)
    assert not applied.failed
    plan = by_name(sync.planned({name: value for name, (value, _) in bad.items()} | good))
    for name, (value, why) in bad.items():
        assert plan[name].action == "blocked"
        assert why in plan[name].reason
        assert value not in plan[name].reason
    assert {name for name, change in plan.items() if change.action == "unchanged"} == set(good)
    project = server.project("acme/trainer")
    assert {name: server.value(project, name) for name in good} == good
    shown = {each["key"]: each for each in project.variables}
    assert all(shown[name]["masked"] and shown[name]["raw"] for name in good)
    unmasked = Sync(server, GitLabTo(project="acme/trainer", masked=False, type="file"), name="files")
    unmasked.run({"LINES": bad["LINES"][0]})
    assert server.value(project, "LINES") == bad["LINES"][0]


def test_what_is_expanded_has_the_narrow_rule(server: GitLab) -> None:
    sync = Sync(server, GitLabTo(project="acme/trainer", raw=False))
    change = by_name(sync.planned({"DOLLAR": "pa$$word-1234", "PLAIN": "password-1234"}))
    assert "raw: true" in change["DOLLAR"].reason
    assert change["PLAIN"].action == "add"


# Levels and scopes.


@pytest.mark.parametrize(
    ("to", "path"),
    [
        (GitLabTo(project="Acme/Trainer"), ("project", "acme/trainer")),
        (GitLabTo(project="acme/trainer", scope="review/*"), ("project", "acme/trainer")),
        (GitLabTo(group="acme/ml"), ("group", "acme/ml")),
        (GitLabTo(group="acme", scope="production"), ("group", "acme")),
        (GitLabTo(instance=True), ("instance", "")),
    ],
    ids=["project", "scoped", "subgroup", "scoped group", "instance"],
)
def test_a_life_at_each_level(server: GitLab, seeded: Seeded, to: GitLabTo, path: tuple[str, str]) -> None:
    container = server.containers[path]
    server.set(container, "FOREIGN", "theirs")
    sync = Sync(server, to)
    first, second, third = (seeded.new(f"value-{n}") for n in range(3))
    scope = to.scope if path[0] != "instance" else "*"
    assert actions(sync.planned({"A": first, "B": second})) == {"A": "add", "B": "add"}
    assert not sync.run({"A": first, "B": second}).failed
    assert actions(sync.planned({"A": first, "B": second})) == {"A": "unchanged", "B": "unchanged"}
    writes = len(server.writes)
    sync.run({"A": first, "B": second})
    assert len(server.writes) == writes, "nothing to do is nothing written"
    assert actions(sync.planned({"A": third, "B": second})) == {"A": "update", "B": "unchanged"}
    sync.run({"A": third})
    assert server.value(container, "A", scope) == third
    assert server.value(container, "B", scope) is None
    server.set(container, "A", "by-hand-in-the-interface", scope)
    assert actions(sync.planned({"A": third})) == {"A": "drifted"}
    sync.run({"A": third})
    assert server.value(container, "A", scope) == third
    assert server.value(container, "FOREIGN") == "theirs"
    others = [each for each in server.containers.values() if each is not container]
    assert not any(each.variables for each in others)


def test_scopes_are_told_apart(server: GitLab) -> None:
    project = server.project("acme/trainer")
    server.set(project, "URL", "somebody-elses", "*")
    server.set(project, "URL", "somebody-elses-too", "review/*")
    sync = Sync(server, GitLabTo(project="acme/trainer", scope="production"))
    sync.run({"URL": "https://prod.example.com"})
    assert sync.slots() == [Slot("variable", "URL", "production")]
    sync.run({"URL": "https://prod-2.example.com"})
    values = {each["environment_scope"]: each["value"] for each in project.variables if each["key"] == "URL"}
    theirs = {"*": "somebody-elses", "review/*": "somebody-elses-too"}
    assert values == {**theirs, "production": "https://prod-2.example.com"}
    sync.run({})
    values = {each["environment_scope"]: each["value"] for each in project.variables if each["key"] == "URL"}
    assert values == theirs


def test_a_project_has_its_ledger_out_of_every_job(server: GitLab) -> None:
    Sync(server, GitLabTo(project="acme/trainer")).run({"A": LONG})
    [ledger] = [v for v in server.project("acme/trainer").variables if v["key"].startswith("KEYLEASE_LEDGER_")]
    assert (ledger["environment_scope"], ledger["protected"], ledger["raw"], ledger["masked"]) == (
        *("keylease-ledger", True, True, False),
    )
    assert LONG not in ledger["value"]


def test_projects_of_a_group_are_selected(server: GitLab) -> None:
    made: dict[str, dict[str, Any]] = {
        "acme/ml-one": {"topics": ["cuda", "prod"]},
        "acme/team/ml-two": {"topics": ["cuda"]},
        "acme/ml-old": {"topics": ["cuda"], "archived": True},
        "acmes/ml-no": {"topics": ["cuda"]},
    }
    for path, more in made.items():
        server.project(path, **more)
    for number in range(120):
        server.project(f"acme/many/p{number:03}")
    target = connected(server)

    def selected(**which: Any) -> list[str]:
        places = target.places(GitLabTo(group="acme", projects=Projects(**which)))
        return sorted(place.address.removeprefix("gitlab://").partition("?")[0] for place in places)

    assert selected(topics="cuda") == ["acme/ml-one", "acme/team/ml-two"]
    assert selected(topics=["cuda", "prod"]) == ["acme/ml-one"]
    assert selected(names="ml-*", subgroups=False) == ["acme/ml-one"]
    assert selected(names=["team/*", "trainer"]) == ["acme/team/ml-two", "acme/trainer"]
    assert len(selected(names="p*")) == 120
    with pytest.raises(NotFoundError, match="no project of the group is selected"):
        selected(names="nothing-*")
    with pytest.raises(NotFoundError, match="404"):
        target.places(GitLabTo(group="nowhere", projects=Projects()))


def test_no_value_goes_to_a_project_outside_of_the_group() -> None:
    with Misbehaving() as elsewhere:
        page = [{"path_with_namespace": "acme-corp/trainer", "archived": False, "topics": []}]
        elsewhere.on("*", reply(json=page, headers={"X-Next-Page": ""}))
        with pytest.raises(UnreachableError, match="not below acme"):
            connected(elsewhere).places(GitLabTo(group="acme", projects=Projects()))  # type: ignore[arg-type]


# Options.


def test_options_that_somebody_changed_are_put_back(server: GitLab) -> None:
    sync = Sync(server, GitLabTo(project="acme/trainer", protected=True, description="of the trainer"))
    sync.run({"A": LONG})
    [mine] = [each for each in server.project("acme/trainer").variables if each["key"] == "A"]
    assert (mine["protected"], mine["masked"], mine["description"]) == (True, True, "of the trainer")
    mine.update(masked=False, protected=False, description="?")
    change = by_name(sync.planned({"A": LONG}))["A"]
    assert change.action == "update"
    assert "masked (false → true)" in change.reason
    sync.run({"A": LONG})
    assert (mine["protected"], mine["masked"], mine["description"]) == (True, True, "of the trainer")
    undeclared = Sync(server, GitLabTo(project="acme/trainer"))
    mine.update(protected=False, variable_type="file")
    assert actions(undeclared.planned({"A": LONG})) == {"A": "unchanged"}


def test_hidden_variables(server: GitLab, seeded: Seeded) -> None:
    project = server.project("acme/trainer")
    sync = Sync(server, GitLabTo(project="acme/trainer", hidden=True))
    first, second = seeded.new("first"), seeded.new("second")
    server.set(project, "SHOWN", "there-already-and-shown")
    assert not sync.run({"A": first}).failed
    [mine] = [each for each in project.variables if each["key"] == "A"]
    assert (mine["hidden"], mine["masked"]) == (True, True)
    assert actions(sync.planned({"A": first})) == {"A": "unchanged"}
    assert actions(sync.planned({"A": second})) == {"A": "update"}
    sync.run({"A": second})
    assert mine["value"] == second
    # GitLab tells neither value nor time: this is what can't be seen.
    mine["value"] = "changed-by-hand-unseen"
    assert actions(sync.planned({"A": second})) == {"A": "unchanged"}
    project.variables.remove(mine)
    assert actions(sync.planned({"A": second})) == {"A": "add"}
    adopting = Sync(server, GitLabTo(project="acme/trainer", hidden=True), policy=Policy(adopt=True))
    change = by_name(adopting.planned({"SHOWN": second}))["SHOWN"]
    assert change.action == "blocked"
    assert "hides new variables only" in change.reason
    sync.run({"A": second})
    showing = Sync(server, GitLabTo(project="acme/trainer", masked=False))
    assert "stays masked" in by_name(showing.planned({"A": second}))["A"].reason
    assert actions(Sync(server, GitLabTo(project="acme/trainer")).planned({"A": second})) == {"A": "unchanged"}


@pytest.mark.parametrize(
    ("version", "premium", "to", "what"),
    [
        ((17, 3), True, GitLabTo(project="acme/trainer", hidden=True), "hidden"),
        ((15, 6), True, GitLabTo(project="acme/trainer"), "raw"),
        ((19, 0), False, GitLabTo(group="acme", scope="production"), "environment_scope"),
    ],
    ids=["hidden", "raw", "scope of a group"],
)
def test_what_a_gitlab_leaves_out_is_undone(
    version: tuple[int, int], premium: bool, to: GitLabTo, what: str, seeded: Seeded
) -> None:
    with served(version=version, premium=premium) as server:
        sync = Sync(server, to)
        value = seeded.new("value")
        container = server.containers["group" if to.group else "project", to.group or "acme/trainer"]
        if what == "raw":
            target = connected(server)
            [place] = target.places(to)
            wanted = Wanted(target.slot(place, "A"), sync.seal(value, "A"), "s", "p", options=place.options)
            with pytest.raises(RefusedError, match="left out `raw`"):
                target.put(place, wanted, exists=False)
        else:
            [failed] = sync.run({"A": value}).failed
            assert f"left out `{what}`" in failed.error.summary
            assert not isinstance(failed.error, UnreachableError)
        assert server.value(container, "A") is None, "what was made is not left as it was not asked for"
        assert [line.split()[0] for line in server.writes if " A " in line] == ["POST", "DELETE"]


def test_a_group_of_an_old_gitlab_never_changes_another_scope() -> None:
    with served(version=(16, 8)) as server:
        group = server.containers["group", "acme"]
        sync = Sync(server, GitLabTo(group="acme", scope="production"))
        sync.run({"A": LONG})
        server.set(group, "A", "somebody-elses", "*")
        change = by_name(sync.planned({"A": LONG + "2"}))["A"]
        assert change.action == "blocked"
        assert "16.9" in change.reason
        [failed] = sync.run({}).failed
        assert "16.9" in failed.error.cause
        assert server.value(group, "A", "*") == "somebody-elses"


# Limits.


def test_caps_are_known_before(server: GitLab) -> None:
    server.instance.most = 5
    server.set(server.instance, "FOREIGN", "theirs")
    sync = Sync(server, GitLabTo(instance=True))
    wanted = {f"N{n}": f"{LONG}{n}" for n in range(5)}
    sync.run(wanted)
    assert sorted(actions(sync.planned(wanted)).values()) == [
        "blocked",
        "blocked",
        "unchanged",
        "unchanged",
        "unchanged",
    ]
    assert "5 variables per instance" in by_name(sync.planned(wanted))["N4"].reason


def test_an_administrators_cap_fails_one_alone(server: GitLab) -> None:
    server.project("acme/trainer").most = 3
    applied = Sync(server, GitLabTo(project="acme/trainer")).run({f"N{n}": f"{LONG}{n}" for n in range(3)})
    [failed] = applied.failed
    assert "Maximum number of project ci variables (3) exceeded" in failed.error.summary
    assert len(applied.done) == 2


def test_gitlab_coms_caps_are_known(server: GitLab) -> None:
    env = {"SYNC_TOKEN": TOKEN}
    settings = GitLabTarget.complete(GitLabSettings(token_env="SYNC_TOKEN"), env)
    target = GitLabTarget("gitlab", settings, Context(env, Masker(), Deadline(5)))
    for to, most in ((GitLabTo(project="acme/trainer"), 7_997), (GitLabTo(group="acme"), 29_997)):
        [limit] = target._limits(target._of(target.places(to)[0]), 2)
        assert limit.most == most, "two parts of ledgers are there, and one may come"
    elsewhere = connected(server)
    assert not elsewhere._limits(elsewhere._of(elsewhere.places(GitLabTo(group="acme"))[0]), 2)


def test_a_thousand_projects_are_planned_by_a_list_each(server: GitLab) -> None:
    for number in range(1000):
        server.set(server.project(f"acme/many/p{number:04}"), "A", LONG)
    target = connected(server)
    places = target.places(GitLabTo(group="acme/many", projects=Projects()))
    for place in places[:50]:
        assert len(target.list(place).remotes) == 1
    assert len(places) == 1000
    assert len(server.requests) == 10 + 50


def test_a_value_that_an_answer_quotes_is_in_no_error(seeded: Seeded) -> None:
    """Nor the beginning of one that is cut with the message."""
    with Misbehaving() as quoting:
        target = connected(quoting)  # type: ignore[arg-type]
        value = target.context.seal(f"{seeded.new('value')}_{'x' * 400}", "value")
        said = {"message": {"value": [f"{value.reveal()} is bad"]}}
        quoting.on("*", reply(400, json=said))
        [place] = target.places(GitLabTo(project="acme/trainer"))
        wanted = Wanted(target.slot(place, "NAME"), value, "s", "p", "", place.options)
        with pytest.raises(RefusedError) as caught:
            target.put(place, wanted, exists=True)
    shown = caught.value.diagnostics(debug=True)
    assert "is bad" in shown
    assert value.reveal()[:20] not in shown
    assert "xxxx" not in shown
