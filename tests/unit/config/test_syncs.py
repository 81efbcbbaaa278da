"""``sync:``, ``targets:`` and ``ledger:``: what they mean, and where a mistake is."""

from typing import Any

import pytest

from keylease.config import keyleasefile
from keylease.errors import UsageError
from keylease.pipelines.sync import SyncPlan
from keylease.sync.model import Policy
from keylease.sync.naming import Naming

ENV = {"SYNC_TOKEN": "t", "OTHER_TOKEN": "t"}

HEAD = """\
version: 1
providers:
  vault: {type: vault, url: https://vault.example.com, role: sync}
targets:
  github: {type: github, token_env: SYNC_TOKEN}
ledger:
  key: vault://secret/keylease#sync_key
"""
ITEM = "  - name: one\n    from: vault://secret/ml/*\n    to: github://acme/trainer\n"
WHOLE = f"{HEAD}sync:\n{ITEM}"


def load(text: str) -> SyncPlan:
    return keyleasefile.parse_sync(text, "keylease.yml", ENV)


def item(**changed: str) -> str:
    """The file with one sync; `from`, `to` … as text of YAML."""
    given = {key.rstrip("_"): value for key, value in changed.items()}
    keys = {"name": "one", "from": "vault://secret/ml/*", "to": "github://acme/trainer", **given}
    return f"{HEAD}sync:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in keys.items() if value) + "\n"


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(text)
    return caught.value


# What it means.


def test_the_shortest() -> None:
    plan = load(WHOLE)
    (sync,) = plan.syncs
    (source,), (destination,) = sync.sources, sync.destinations
    assert (sync.name, sync.policy) == ("one", Policy(False, False, "overwrite"))
    assert (source.text, source.read.provider, source.read.path) == ("vault://secret/ml/*", "vault", "secret/ml/*")
    assert source.selector is None
    assert source.naming == Naming(case="upper")
    assert (destination.target, destination.naming, destination.to.repository) == ("github", None, "acme/trainer")
    assert str(plan.key.read) == "vault://secret/keylease"
    assert plan.key.selector == ("sync_key",)
    assert str(source.origin) == "keylease.yml:10: sync[0].from"
    assert str(destination.origin) == "keylease.yml:11: sync[0].to"
    assert plan.plan.deadline == 3600


def test_what_came_by_one_providers_pattern_is_not_anothers() -> None:
    """`provider:` changed, by mistake or not: what came before is kept, though the path is the same."""
    secret = "secret: 'vault://secret/ml/*'"
    patterns = ("vault://secret/ml/*", f"{{{secret}, provider: vault}}", f"{{{secret}, version: 3}}")
    assert len({load(item(from_=pattern)).syncs[0].sources[0].text for pattern in patterns}) == 3


def test_the_longest() -> None:
    plan = load(
        item(
            from_="\n      - {secret: 'vault://secret/a#b', kv: 2, version: 3, provider: vault, name: 'x{name}', "
            "names: {A: B}, case: keep, prefix: P, suffix: S, include: A*, exclude: [B*, C*]}"
            "\n      - vault://secret/c#*",
            to="\n      - {target: github, repository: acme/a, kind: variable, prefix: X_}"
            "\n      - {organization: acme, visibility: all}",
            prune="true",
            adopt="[A, B]",
            on_drift="keep",
        )
    )
    (sync,) = plan.syncs
    first, second = sync.sources
    assert first.naming == Naming("x{name}", {"A": "B"}, "keep", "P", "S", ("A*",), ("B*", "C*"))
    assert dict(first.read.options) == {"kv": "2", "version": "3"}
    assert (first.selector, second.selector) == (("b",), "*")
    to, organisation = sync.destinations
    assert (to.to.kind, to.naming) == ("variable", Naming(case="keep", prefix="X_"))
    assert (organisation.to.visibility, organisation.naming) == ("all", None)
    assert sync.policy == Policy(frozenset({"A", "B"}), True, "keep")


@pytest.mark.parametrize("adopt", [True, False])
def test_adopting_all_or_nothing(adopt: bool) -> None:
    assert load(item(adopt=str(adopt).lower())).syncs[0].policy.adopt is adopt


def test_a_key_in_its_long_form() -> None:
    text = WHOLE.replace("key: vault://secret/keylease#sync_key", "key: {secret: 'vault://a/b#c', provider: vault}")
    assert str(load(text).key.read) == "vault://a/b"


def test_a_targets_credential_from_a_manager() -> None:
    plan = load(WHOLE.replace("token_env: SYNC_TOKEN", "token: {secret: 'vault://github/token#token'}"))
    (need,) = plan.targets["github"].needs.values()
    assert str(need.read) == "vault://github/token"


def test_settings_are_the_defaults_of_targets() -> None:
    text = WHOLE.replace("version: 1\n", "version: 1\nsettings: {timeout: 7, retries: 9, deadline: 2h}\n")
    plan = load(text)
    settings: Any = plan.targets["github"].settings
    assert (settings.timeout, settings.retries, plan.plan.deadline) == (7, 9, 7200)
    own = load(text.replace("token_env: SYNC_TOKEN", "token_env: SYNC_TOKEN, timeout: 3"))
    assert own.targets["github"].settings.timeout == 3


def test_the_target_that_is_meant() -> None:
    two = WHOLE.replace("ledger:", "  other: {type: github, token_env: OTHER_TOKEN}\nledger:")
    named = two.replace("github://acme/trainer", "{target: other, repository: acme/trainer}")
    assert load(named).syncs[0].destinations[0].target == "other"
    gitlab = WHOLE.replace("ledger:", "  gitlab: {type: gitlab, token_env: OTHER_TOKEN}\nledger:")
    assert load(gitlab).syncs[0].destinations[0].target == "github", "the only one of its type"
    for keys, name in (("{repository: a/b, prefix: X}", "github"), ("{project: a/b}", "gitlab")):
        text = gitlab.replace("github://acme/trainer", keys)
        assert load(text).syncs[0].destinations[0].target == name, "the only one that knows these keys"


@pytest.mark.parametrize("path", ["secret/ml/[a-c]*", "secret/[!x]y/**", "secret/ml/*/db"])
def test_patterns_of_all_kinds(path: str) -> None:
    assert load(item(**{"from": f"'vault://{path}'"})).syncs[0].sources[0].read.path == path


def test_a_file_with_a_sync_leases_as_before() -> None:
    plan, _ = keyleasefile.parse(WHOLE, "keylease.yml", {}, frozenset())
    assert plan.deliveries == ()
    assert plan.deadline == 120


# Mistakes: file, line and key.


@pytest.mark.parametrize(
    ("text", "where", "change"),
    [
        (HEAD, "keylease.yml: sync: is missing", "docs/sync.md"),
        (
            WHOLE.replace("ledger:\n  key: vault://secret/keylease#sync_key\n", ""),
            "keylease.yml: ledger: is missing",
            "openssl",
        ),
        (WHOLE.replace("  key:", "  kye:"), "keylease.yml:7: ledger.kye", ""),
        (WHOLE.replace("key: vault://secret/keylease#sync_key", "key: nothing"), "keylease.yml:7: ledger.key", ""),
        (WHOLE.replace("vault://secret/keylease#sync_key", "aws-sm://key"), "keylease.yml:7: ledger.key", ""),
        (f"{HEAD}sync: 1\n", "keylease.yml:8: sync", ""),
        (f"{HEAD}sync:\n  - 1\n", "keylease.yml:9: sync[0]", ""),
        (item(prnue="true"), "keylease.yml:12: sync[0].prnue: unknown key", ""),
        (item(**{"from": ""}), "keylease.yml:9: sync[0].from: is missing", "from:"),
        (item(to=""), "keylease.yml:9: sync[0].to: is missing", "to:"),
        (item(name=""), "keylease.yml:9: sync[0]", "name"),
        (item(name="ML"), "keylease.yml:9: sync[0].name: must be of a-z, 0-9 and - only", "ml-prod"),
        (item(name="a--b"), "keylease.yml:9: sync[0].name", "ml-prod"),
        (item(name="a" * 49), "keylease.yml:9: sync[0].name", ""),
        (
            WHOLE + ITEM,
            "keylease.yml:12: sync[1].name: is the name of keylease.yml:9: sync[0] too",
            "give each its own",
        ),
        (item(prune="maybe"), "keylease.yml:12: sync[0].prune", ""),
        (item(adopt="1"), "keylease.yml:12: sync[0].adopt", ""),
        (item(on_drift="shout"), "keylease.yml:12: sync[0].on_drift", ""),
        # from
        (item(**{"from": "[]"}), "keylease.yml:10: sync[0].from: is empty", "name at least one"),
        (item(**{"from": "secret/ml"}), "keylease.yml:10: sync[0].from", "SCHEME://PATH"),
        (item(**{"from": "[vault://a/b, 1]"}), "keylease.yml:10: sync[0].from[1]", ""),
        (item(**{"from": "{prefix: X}"}), "keylease.yml:10: sync[0].from", "secret"),
        (item(**{"from": "{secret: 'vault://a/b', prefx: X}"}), "keylease.yml:10: sync[0].from.prefx", ""),
        (item(**{"from": "{secret: 'vault://a/b', name: '{nmae}'}"}), "keylease.yml:10: sync[0].from.name", ""),
        (item(**{"from": "{secret: 'vault://a/b', include: '[z-a]'}"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "vault://a/b**"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "'vault://a/[z-a]'"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "vault://a//b"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "vault://a/../*"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "nosuch://a/b"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "aws-sm://a"}), "keylease.yml:10: sync[0].from", "aws"),
        (item(**{"from": "{secret: 'vault://a/*', provider: valt}"}), "keylease.yml:10: sync[0].from", ""),
        (item(**{"from": "{secret: 'vault://a/*', kv: 3}"}), "keylease.yml:10: sync[0].from.kv", ""),
        (item(**{"from": "{secret: 'vault://a/*', kv: 1, version: 2}"}), "keylease.yml:10: sync[0].from", ""),
        # to
        (item(to="[]"), "keylease.yml:11: sync[0].to: is empty", ""),
        (item(to="acme/trainer"), "keylease.yml:11: sync[0].to", "github://"),
        (item(to="gitbuh://acme/trainer"), "keylease.yml:11: sync[0].to", "github://"),
        (item(to="gitlab://acme/trainer"), "keylease.yml:11: sync[0].to", "type: gitlab"),
        (item(to="github://"), "keylease.yml:11: sync[0].to", ""),
        (item(to="[github://acme/a, 1]"), "keylease.yml:11: sync[0].to[1]", ""),
        (item(to="{target: gitub, repository: a/b}"), "keylease.yml:11: sync[0].to", "github"),
        (item(to="{target: 1, repository: a/b}"), "keylease.yml:11: sync[0].to.target", ""),
        (item(to="{repository: a/b, zzz: 1}"), "keylease.yml:11: sync[0].to.zzz", ""),
        (item(to="{repository: a/b, kind: sceret}"), "keylease.yml:11: sync[0].to.kind", ""),
        (item(to="{kind: secret}"), "keylease.yml:11: sync[0].to", ""),
        (item(to="{repository: a/b, name: '{x}'}"), "keylease.yml:11: sync[0].to.name", ""),
        (item(to="{repository: a/b, case: title}"), "keylease.yml:11: sync[0].to.case", ""),
        # targets
        (WHOLE.replace("  github: {", "  'g b': {"), "keylease.yml:5: targets.g b", ""),
        (WHOLE.replace("type: github", "type: gitbuh"), "keylease.yml:5: targets.github.type", "github"),
        (WHOLE.replace("type: github, ", ""), "keylease.yml:5: targets.github.type: is missing", ""),
        (WHOLE.replace("token_env", "tokn_env"), "keylease.yml:5: targets.github.tokn_env", ""),
        (WHOLE.replace("token_env: SYNC_TOKEN", "token: here"), "keylease.yml:5: targets.github.token", ""),
        (WHOLE.replace(", token_env: SYNC_TOKEN", ""), "keylease.yml:5: targets.github", "token_env"),
        (WHOLE.replace("{type: github, token_env: SYNC_TOKEN}", "1"), "keylease.yml:5: targets.github", ""),
        (WHOLE.replace("  github: {type: github, token_env: SYNC_TOKEN}", "  {}"), "sync[0].to", "add one"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, where: str, change: str) -> None:
    error = refused(text)
    assert where in error.summary
    assert error.summary.startswith("keylease.yml")
    assert change in f"{error.summary} {error.cause} {error.change}"


def test_several_targets_could_be_meant() -> None:
    text = WHOLE.replace("ledger:", "  other: {type: github, token_env: OTHER_TOKEN}\nledger:")
    error = refused(text)
    assert "github, other" in error.summary
    assert "target: github" in error.change
    gitlab = WHOLE.replace("ledger:", "  lab: {type: gitlab, token_env: OTHER_TOKEN}\nledger:")
    assert "several targets" in refused(gitlab.replace("github://acme/trainer", "{host: x}")).summary
    assert "several targets" in refused(gitlab.replace("github://acme/trainer", "{zzz: x}")).summary


def test_a_variable_that_is_not_set_is_told_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"^keylease\.yml:5: targets\.github") as caught:
        keyleasefile.parse_sync(WHOLE, "keylease.yml", {})
    assert "SYNC_TOKEN" in caught.value.diagnostics()
