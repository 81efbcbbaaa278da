# long file: the callers that are tried and the reading of their subjects only make sense side by side
"""Whom a role's trust policy lets in by web identity: a stranger's repository, the owner's others, any ref of its own.

The policy is asked about made-up jobs (*callers*), each with all claims of its token; callers are made of the policy's
own values, with its wildcards filled in, and of a stranger who controls all that he can: his repository's and his
branch's name, his environments, his audience, the template of his subject. Who gets in is a witness, so no finding
rests on how a text looks. What can't be known (a reference of a template, a condition on another thing than the
token) counts as fixed in a value, as met in an ``Allow`` and as not met in a ``Deny``.

Claims of GitHub that STS knows, since January 2026: actor, actor_id, job_workflow_ref, repository, repository_id,
workflow, ref, environment, enterprise_id, besides sub and aud; of others sub, aud, amr:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal

from msgspec import Struct

from keylease.audit.aws_policy import STRINGS, Statement, Test, holds, is_wild, plain, statements
from keylease.audit.globs import Free, Wish, agreed

ACTION = "sts:AssumeRoleWithWebIdentity"

Who = Literal["stranger", "neighbour", "own", "nobody"]
"""stranger: a repository of an owner that the policy doesn't name. neighbour: another one of an owner it names.

nobody: no token has such a subject.
"""

SHARED = {
    "token.actions.githubusercontent.com": ("GitHub", "sub"),
    "vstoken.actions.githubusercontent.com": ("GitHub", "sub"),
    "oidc-configuration.audit-log.githubusercontent.com": ("GitHub's audit log streaming", "sub"),
    "gitlab.com": ("GitLab.com", "sub"),
    "app.terraform.io": ("HCP Terraform", "sub"),
    "agent.buildkite.com": ("Buildkite", "sub"),
    "oidc.codefresh.io": ("Codefresh", "sub"),
    "studio.datachain.ai/api": ("DVC Studio", "sub"),
    "scalr.io": ("Scalr", "sub"),
    "tokens.cloud.shisho.dev": ("Shisho Cloud", "sub"),
    "proidc.upbound.io": ("Upbound", "sub"),
    "oidc.vercel.com": ("Vercel", "aud"),
    "api.pulumi.com/oidc": ("Pulumi Cloud", "aud"),
}
"""Issuers that all their customers share → name, and the claim that tells the customer.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html
"""

_HINTS = {"github": "token.actions.githubusercontent.com", "gitlab": "gitlab.com"}
_OWNERS = {"repository_owner", "repository_owner_id", "enterprise", "enterprise_id"}
_REPOSITORIES = {"repository", "repository_id", "job_workflow_ref", "workflow_ref"}
_PEOPLE = {"actor", "actor_id"}
_PASSED = {"aud", "sub", "ref", "workflow", "environment", *_PEOPLE, "enterprise_id"} | _REPOSITORIES - {"workflow_ref"}
IDENTIFYING = {"sub", *_OWNERS, *_REPOSITORIES, *_PEOPLE}
"""Claims that a stranger can't choose."""

_FORGEABLE = re.compile(r"(?:ref|environment|workflow|context|head_ref|base_ref|event_name|ref_type)(?:[:/]|$)")
_GITHUB = re.compile(
    r"(?:^|:)(repo|repository|job_workflow_ref|workflow_ref|repository_owner|repository_owner_id|repository_id|enterprise|"
    r"enterprise_id):([^/:]+)(?:/([^/:]+))?(?=[/:]|$):?(.*)",
    re.DOTALL,
)
_ODD = re.compile(r"repo:(?![^/:]+/[^/:]+(?::|$))")
"""No repository stands where one must."""

_GITLAB = re.compile(r"^project_path:([^/:]+)/([^:]+)(?::(.*))?$", re.DOTALL)
_ORGANIZATION = re.compile(r"^(?:organization|owner|account|customer):([^:]+):(.+)$", re.DOTALL)


_NAME, _TEXT = Free("/:"), Free(":")
_REPO = ("repo:", _NAME, "/", _NAME, ":")
_ENDS = (
    (("ref:refs/heads/", _TEXT), "ref"),
    (("environment:", _TEXT), "environment"),
    (("pull_request",), ""),
    (("workflow:", _TEXT), ""),
    (("workflow:", _TEXT, ":ref:refs/heads/", _TEXT), "ref"),
    (("workflow:", _TEXT, ":environment:", _TEXT), "environment"),
)
_PROJECT = ("project_path:", _NAME, "/", _TEXT, ":ref_type:")
_SHAPES: Mapping[str, tuple[str, Sequence[tuple[tuple[str, ...], str]]]] = {
    "github": (
        "repo:",
        [((*_REPO, *end), tail) for end, tail in _ENDS] + [(end, tail) for end, tail in _ENDS if len(end) > 1],
    ),
    "gitlab": ("project_path:", [((*_PROJECT, f"{kind}:ref:", _TEXT), "") for kind in ("branch", "tag")]),
}
"""Family → how its subjects begin; shapes of subjects, each with the claim that stands last. A subject has no colon but
between its claims (GitHub writes %3A), and its template is the repository's to choose: workflows have any name."""


class Issuer(Struct, frozen=True):
    """host: as condition keys begin. name: for people. family: how its subjects look. shared: by all its customers."""

    host: str
    name: str
    family: str
    claim: str = "sub"
    shared: bool = True

    def key(self, claim: str) -> str:
        """The condition key of a claim."""
        return f"{self.host}:{claim}"


class Caller(Struct, frozen=True):
    """A job. owner, repository: whose it is. subject: its token's. suffix: what the subject says beyond that."""

    who: Who
    subject: str
    owner: str = ""
    repository: str = ""
    suffix: str = ""


class Trust:
    """One ``Allow`` statement and one issuer that it trusts. document: all statements. others: the same for all."""

    def __init__(self, statement: Statement, issuer: Issuer, document: Sequence[Statement], fresh: str) -> None:
        self.statement, self.issuer, self._document, self._fresh = statement, issuer, document, fresh

    def tests(self, claim: str = "") -> list[Test]:
        """The statement's conditions on a claim of this issuer's token, or on any."""
        found = [(test, claim_of(test.key, self.issuer)) for test in self.statement.tests]
        return [test for test, name in found if name and (not claim or name == claim)]

    @property
    def elsewhere(self) -> list[Test]:
        """Conditions on other things than a token: an address, a date."""
        return [test for test in self.statement.tests if claim_of(test.key, self.issuer) is None]

    @cached_property
    def admitted(self) -> list[Caller]:
        """Callers that get in; of each kind (who, and what the subject says) the first that was met."""
        found: dict[tuple[str, str], Caller] = {}
        for caller in self._callers():
            kind = (caller.who, self.kind(caller))
            if kind not in found and self._lets_in(caller):
                found[kind] = caller
        if not any(who == "stranger" for who, _ in found):
            agreed = map(self.who, self._agreed())
            if stranger := next((each for each in agreed if each.who == "stranger" and self._lets_in(each)), None):
                found["stranger", self.kind(stranger)] = stranger
        return list(found.values())

    def _agreed(self) -> Iterator[str]:
        """Subjects of strangers that all conditions agree on; by each way to fall out of each ``Deny``."""
        key, shapes = _SHAPES.get(self.issuer.family, ("", ()))
        own = [f"{key}{owner}/*" for owner, _ in self.places if not is_wild(owner)]
        denies = [each.tests for each in self._document if each.effect == "deny" and self._is_about(each)]
        ways = itertools.islice(itertools.product(*([None, *tests] for tests in denies)), 32)
        for (shape, tail), way in itertools.product(shapes, list(ways)):
            begins = key if shape[0] == key else ""  # a template may leave the repository out
            wishes: list[Wish] = [(own, False)]
            wishes += filter(None, (self._wish(each, begins, tail, False) for each in self.statement.tests))
            wishes += filter(None, (self._wish(each, begins, tail, True) for each in way if each))
            if found := agreed(shape, wishes):
                yield found

    def _wish(self, test: Test, key: str, tail: str, against: bool) -> Wish | None:
        """What a condition asks of the subject, as far as that tells the claim."""
        claim = claim_of(test.key, self.issuer)
        wanted = test.negated is against
        if test.base not in STRINGS or not claim:
            return None
        if claim == "sub":
            return test.patterns, wanted
        if claim == "repository" and key == "repo:":
            return [f"{key}{each}:*" for each in test.patterns], wanted
        return ([f"*{claim}:{each}" for each in test.patterns], wanted) if claim == tail else None

    def first(self, who: Who, kind: str = "") -> Caller | None:
        """A caller of this sort that gets in. kind: ``pull_request``, ``any`` (a ref that the policy doesn't name)."""
        found = (each for each in self.admitted if each.who == who and kind in ("", self.kind(each)))
        return min(
            found,
            key=lambda each: (
                self._fresh not in each.owner,
                not each.owner,
                each.suffix == "pull_request",
                len(each.subject),
            ),
            default=None,
        )

    def kind(self, caller: Caller) -> str:
        """``pull_request``, ``any`` (made up), or ``named`` in the policy."""
        if caller.suffix == "pull_request":
            return "pull_request"
        return "any" if self._fresh in caller.suffix else "named"

    def who(self, subject: str) -> Caller:
        """Whose subject it is."""
        owner, repository, suffix = self._parts(subject)
        begins = re.match(r"[a-z_]+:|\$\{", subject) and not subject.startswith(self._fresh)
        if is_wild(subject) or (self.issuer.family == "github" and not begins):  # with a claim's name; no name is wild
            return Caller("nobody", subject)
        if self.issuer.family == "github" and "${" not in subject and _ODD.match(subject):
            return Caller("nobody", subject)
        if self.issuer.family == "github" and re.match(r"ref:[^:]*:pull_request$", suffix):
            return Caller("nobody", subject)  # no ref has a colon in it
        if self.issuer.family == "gitlab" and not re.match(r"project_path:|.*\$\{", subject):
            return Caller("nobody", subject)
        if owner and (repository or "${" in owner):
            return Caller(self._whose(owner, repository), subject, owner, repository, suffix)
        if self.issuer.family == "github" and (found := _GITHUB.search(subject)):
            if found[1] in ("repo", "repository", "job_workflow_ref", "workflow_ref"):
                return Caller("nobody", subject)
            known = (found[1], found[2].lower()) in self._named_claims
            return Caller("own" if known else "stranger", subject, suffix=found[4])
        if not subject.strip(":/") or (self.issuer.family == "gitlab" and "project_path:" in subject):
            return Caller("nobody", subject)
        if self.issuer.family == "github":  # the template of a subject is its repository's to choose
            return Caller("stranger" if _FORGEABLE.match(subject) else "own", subject, suffix=subject)
        return Caller("stranger" if self._fresh in subject.split(":")[0] else "own", subject)

    def _parts(self, subject: str) -> tuple[str, str, str]:
        """Owner, repository and what else a subject (or a pattern of subjects) says; empty what it doesn't."""
        if self.issuer.family == "github":
            found = _GITHUB.search(subject)
            named = found and found[1] in ("repo", "repository", "job_workflow_ref", "workflow_ref")
            return (found[2], found[3] or "", found[4]) if found and named else ("", "", "")
        found = (_GITLAB if self.issuer.family == "gitlab" else _ORGANIZATION).search(subject)
        if not found or (self.issuer.family == "gitlab" and found[3] is None):
            return "", "", ""
        return found[1], found[2], (found[3] if self.issuer.family == "gitlab" else "")

    def _whose(self, owner: str, repository: str) -> Who:
        if "${" in owner:  # a reference may hold the repository as well: what follows it is another one of the owner's
            return "neighbour" if self._fresh in owner.rpartition("}")[2] + repository else "own"
        name, number = _named(owner)
        if not any(name == known or (number and number == known_id) for known, known_id in self._owners):
            return "stranger"
        name, number = _named(repository)
        mine = any(name == known or (number and number == known_id) for known, known_id in self._repositories)
        return "own" if mine else "neighbour"

    @cached_property
    def _positive(self) -> list[tuple[str, str]]:
        """(claim, pattern) of all that the document says about who may come in, in any statement."""
        found = []
        for statement in self._document:
            for test in statement.tests:
                claim = claim_of(test.key, self.issuer)
                if claim and test.negated == (statement.effect == "deny"):
                    found += [(claim, pattern) for pattern in test.patterns]
        return found

    @cached_property
    def _owners(self) -> set[tuple[str, str]]:
        """(name, id) of those that the policy names; empty what it leaves open."""
        return {named for owner, _ in self.places if any(named := _named(owner))}

    @cached_property
    def _repositories(self) -> set[tuple[str, str]]:
        return {named for _, repository in self.places if any(named := _named(repository))}

    @cached_property
    def places(self) -> list[tuple[str, str]]:
        """Owner and repository where the document says who may come in, as patterns."""
        found = []
        for claim, pattern in self._positive:
            if claim in ("sub", "repository", "job_workflow_ref"):
                subject = pattern if claim == "sub" else f"repo:{pattern}"
                end = "" if self.issuer.family == "github" or ":" in subject.partition(":")[2] else ":"
                owner, repository, _ = self._parts(subject + end)
                if owner and not (claim == "sub" and is_wild(subject[: subject.find(owner)])):
                    found.append((plain(owner), plain(repository)))
        return list(dict.fromkeys(found))

    @cached_property
    def _named_claims(self) -> set[tuple[str, str]]:
        """(key, value) that subjects made by a template name: ``repository_owner:acme``."""
        found = [_GITHUB.search(pattern) for claim, pattern in self._positive if claim == "sub"]
        return {(each[1], plain(each[2]).lower()) for each in found if each and not is_wild(each[2])}

    def _callers(self) -> Iterator[Caller]:
        """Callers worth a try: those that the policy's patterns make, then those that don't depend on it."""
        seen = set()
        for subject in itertools.chain(self._usual(), self._subjects()):
            if subject not in seen:
                seen.add(subject)
                if (caller := self.who(subject)).who != "nobody":
                    yield caller

    def _subjects(self) -> Iterator[str]:
        for claim, pattern in dict.fromkeys(self._positive + [("sub", each) for each in self._any("sub")]):
            if claim == "sub":
                yield from instances(pattern, self._fills)

    def _usual(self) -> Iterator[str]:
        fresh = self._fresh
        if self.issuer.family not in ("github", "gitlab"):
            yield f"organization:{fresh}:{fresh}"
            yield fresh
            return
        filled = [plain(each).replace("*", fresh).replace("?", "s") for each in self._any("sub")]
        filled += [f"repo:{each}".replace("*", fresh).replace("?", "s") for each in map(plain, self._any("repository"))]
        filled += [
            f"repo:{each}".replace("*", fresh).replace("?", "s") for each in map(plain, self._any("job_workflow_ref"))
        ]
        parts = [self._parts(each if self.issuer.family == "github" else f"{each}:") for each in filled]
        owners = list(dict.fromkeys([fresh, *(owner for owner, _, _ in parts if fresh in owner or "s" in owner)]))
        names = list(dict.fromkeys([fresh, *(name for _, name, _ in parts if name)]))
        places = {f"{owner}/{name}" for owner, name in itertools.product(owners[:6], names[:8]) if owner}
        ends = {found[1] for each in filled if (found := re.search(r":((?:ref|environment):.*|pull_request)$", each))}
        # Names of environments are free: one may be called as what stands last in a pattern.
        ends |= {f"environment:{each.rpartition(':')[2]}" for each in self._any("sub") if re.search(r":[\w-]+$", each)}
        places |= {f"{owner}/{fresh}" for owner, _ in self.places if not is_wild(owner)}
        places |= {f"{owner}/{name}" for owner, name in self.places if name and not is_wild(owner + name)}
        if any(not is_wild(pattern) for pattern in self._any("repository_id")):
            places.add("${OWNER}/${REPOSITORY}")
        for place in sorted(places):
            if self.issuer.family == "gitlab":
                yield f"project_path:{place}:ref_type:branch:ref:{fresh}"
                continue
            yield f"repo:{place}:ref:refs/heads/{fresh}"
            yield f"repo:{place}:ref:refs/tags/{fresh}"
            yield f"repo:{place}:pull_request"
            yield f"repo:{place}:environment:{fresh}"
            yield from (f"repo:{place}:{end}" for end in sorted(ends)[:20])
            for kind in ("ref", "environment"):
                yield from (f"repo:{place}:{kind}:{value}" for value in self._values(kind, False))
        if self.issuer.family == "github":
            yield f"ref:refs/heads/{fresh}"  # the template of a subject is its repository's to choose
            for kind in ("ref", "environment"):
                yield from (f"{kind}:{value}" for value in self._values(kind, False))

    @property
    def _fills(self) -> tuple[str, ...]:
        fresh = self._fresh
        if self.issuer.family == "gitlab":
            end = f":ref_type:branch:ref:{fresh}"
            return (fresh, "", f"{fresh}{end}", end, f"/{fresh}{end}", f"{fresh}/{fresh}{end}", f"{fresh}/{fresh}",
                    f"project_path:{fresh}", f"project_path:{fresh}/{fresh}",
                    f"project_path:{fresh}/{fresh}{end}")  # fmt: skip
        if self.issuer.family != "github":
            return (fresh, "", f"{fresh}:{fresh}", f"organization:{fresh}:{fresh}", f"organization:{fresh}")
        end = f":ref:refs/heads/{fresh}"
        return (fresh, "", f"{fresh}{end}", end, f"/{fresh}{end}", f"{fresh}/{fresh}{end}", f"{fresh}/{fresh}",
                f"/{fresh}", f"repo:{fresh}", f"repo:{fresh}/{fresh}", f"repo:{fresh}/{fresh}{end}", "pull_request",
                f":environment:{fresh}")  # fmt: skip

    def _any(self, claim: str) -> list[str]:
        """All patterns on a claim, of the whole document."""
        tests = (test for statement in self._document for test in statement.tests)
        return [each for test in tests if claim_of(test.key, self.issuer) == claim for each in test.patterns]

    def _values(self, claim: str, only_made: bool) -> list[str]:
        """Values worth a try. only_made: not those that the policy names."""
        patterns = dict.fromkeys(self._any(claim))
        named = [text for pattern in patterns if not is_wild(pattern) and not is_wild(text := plain(pattern))]
        made = [text for pattern in patterns if is_wild(pattern) for text in instances(pattern, (self._fresh, "0", ""))]
        return [text for text in made if text not in named] if only_made else [*named, *made]

    def _claim(self, claim: str, caller: Caller) -> Sequence[str | None]:
        """What a claim of this caller's token can be; None: it may be absent."""
        if claim == "sub":
            return [caller.subject]
        place = f"{caller.owner}/{caller.repository}" if caller.owner else f"{self._fresh}/{self._fresh}"
        absent = [] if claim in _PASSED and claim != "environment" else [None]
        if self.issuer.family != "github" and claim != "aud":
            return [None]
        if claim == "repository" and not (caller.owner == "" and caller.who == "own"):
            made = [] if caller.owner else self._foreign_places("repository", caller.who)
            return [_without_ids(place), *made, *absent]
        fresh = [self._fresh]
        if claim == "ref":
            fresh = [f"refs/heads/{self._fresh}", f"refs/tags/{self._fresh}", "refs/pull/1/merge"]
        if claim in ("job_workflow_ref", "workflow_ref"):
            # A stranger may call a reusable workflow of whomever he likes, so of one that no pattern is about.
            places = (_without_ids(place), f"{self._fresh}/{self._fresh}")
            fresh = [f"{each}/.github/workflows/{self._fresh}.yml@refs/heads/{self._fresh}" for each in places]
        said = re.search(rf"(?:^|:){claim}:([^:]*)", caller.suffix) if claim in ("ref", "environment") else None
        if said:
            return [said[1]]
        if claim == "ref" and caller.suffix == "pull_request":
            return ["refs/pull/1/merge"]
        if claim == "environment" and caller.owner and re.match(r"ref:|pull_request$", caller.suffix):
            return absent  # a job with one has it in its subject
        if self._is_foreign(claim, caller.who):
            paths = claim in ("job_workflow_ref", "workflow_ref")
            made = self._foreign_places(claim, caller.who) if paths else self._values(claim, True)
            bots = [text for text in self._values(claim, False) if text.endswith("[bot]") and claim == "actor"]
            return [*made, *fresh, *bots, *absent]
        return [*self._values(claim, False), *fresh, *absent]

    def _foreign_places(self, claim: str, who: Who) -> list[str]:
        """Values of a claim that begins with owner and repository, made up, of such a caller."""
        return [text for text in self._values(claim, True) if self._whose(*[*text.split("/"), ""][:2]) == who]

    def _is_foreign(self, claim: str, who: Who) -> bool:
        """Whether the values that the policy names of a claim are not for such a caller to have.

        A reusable workflow that is named counts as its own repository's: that others call it is what it is there for.
        """
        if who == "neighbour":
            return claim in _REPOSITORIES
        return who == "stranger" and (claim in IDENTIFYING or claim == self.issuer.claim)

    def _lets_in(self, caller: Caller) -> bool:
        denies = [each for each in self._document if each.effect == "deny" and self._is_about(each)]
        asked = {claim_of(test.key, self.issuer) for each in [self.statement, *denies] for test in each.tests}
        pools = {}
        for claim in sorted(name for name in asked if name):
            met = [text for text in self._claim(claim, caller) if all(holds(test, text) for test in self.tests(claim))]
            # Values that all Deny statements see the same way are one: what is left can be tried in full.
            against = [test for deny in denies for test in deny.tests if claim_of(test.key, self.issuer) == claim]
            pools[claim] = list({tuple(holds(test, text) for test in against): text for text in reversed(met)}.values())
        if not all(holds(test, None) for test in self.statement.tests if claim_of(test.key, self.issuer) == ""):
            return False
        choices = itertools.islice(itertools.product(*pools.values()), 5000)
        tokens = (dict(zip(pools, values, strict=True)) for values in choices)
        return any(not any(self._denied(deny, token) for deny in denies) for token in tokens)

    def _denied(self, deny: Statement, token: Mapping[str, str | None]) -> bool:
        results = []
        for test in deny.tests:
            claim = claim_of(test.key, self.issuer)
            results.append(claim is not None and holds(test, token.get(claim) if claim else None))
        return all(results)

    def _is_about(self, deny: Statement) -> bool:
        trusts = any(kind == "*" or self.issuer in _issuers(deny, (kind, value)) for kind, value in deny.principals)
        return deny.covers(ACTION) and trusts


def trusts(document: Any) -> list[Trust]:
    """All that a trust policy document lets in by web identity from CI or another issuer that customers share."""
    try:
        return _trusts(json.dumps(document))
    except (TypeError, ValueError, RecursionError):
        return []


@lru_cache(512)
def _trusts(text: str) -> list[Trust]:
    found = statements(json.loads(text))
    numbers = (str(number or "") for number in itertools.count())
    fresh = next(name for number in numbers if (name := f"stranger{number}") not in text)
    return [
        Trust(statement, issuer, found, fresh)
        for statement in found
        if statement.effect == "allow" and statement.covers(ACTION)
        for issuer in dict.fromkeys(each for pair in statement.principals for each in _issuers(statement, pair))
    ]


def claim_of(key: str, issuer: Issuer) -> str | None:
    """The claim of `issuer`'s token that a condition key means, in lower case: keys have no case.

    Empty: it is another issuer's, so it is absent. None: it is about something else than a token.
    """
    prefix, _, claim = key.lower().rpartition(":")
    if prefix == issuer.host or "${" in prefix:
        return claim
    return "" if "." in prefix else None


def issuer_of(host: str) -> Issuer | None:
    """An issuer that CI or many customers use, by its URL without ``https://``; None for others (a cluster's, say)."""
    host = host.lower().rstrip("/")
    if host in SHARED:
        name, claim = SHARED[host]
        family = {"GitHub": "github", "GitLab.com": "gitlab"}.get(name, "organization")
        return Issuer(host, name, family, claim)
    if host.endswith("/_services/token") or host.startswith("token.actions."):
        return Issuer(host, host, "github", shared=False)
    return Issuer(host, host, "gitlab", shared=False) if host.startswith("gitlab.") else None


def _issuers(statement: Statement, principal: tuple[str, str]) -> Iterator[Issuer]:
    kind, value = principal
    if kind not in ("Federated", "*"):
        return
    found = re.search(r":oidc-provider/([^\s]+)$", value)
    if found and "${" not in found[1]:
        hosts = [found[1]]
    elif ":saml-provider/" in value or (kind == "Federated" and re.fullmatch(r"[\w-]+(\.[\w-]+)+\.(com|org)", value)):
        return  # accounts.google.com and other people's sign-in
    else:
        hosts = [
            test.key.rpartition(":")[0].lower() for test in statement.tests if issuer_of(test.key.rpartition(":")[0])
        ]
        said = " ".join([value, *(test.key for test in statement.tests)]).lower()
        hosts = hosts or [host for hint, host in _HINTS.items() if hint in said][:1]
    yield from filter(None, map(issuer_of, hosts))


def instances(pattern: str, fills: Sequence[str]) -> Iterator[str]:
    """Texts that a pattern matches, its wildcards filled in; not all of them."""
    parts = re.split(r"([*?])", re.sub(r"\*+", "*", pattern))
    wild = [index for index, part in enumerate(parts) if part in ("*", "?") and index % 2]
    few = fills if len(wild) < 4 else fills[:4]
    choices = [("s", "/", ":", "-") if parts[index] == "?" else few for index in wild]
    for values in itertools.islice(itertools.product(*choices), 2500):
        filled = dict(zip(wild, values, strict=True))
        yield plain("".join(filled.get(index, part) for index, part in enumerate(parts)))


def _named(text: str) -> tuple[str, str]:
    """Name and id of ``acme@6539``, the form of GitHub's subjects that no rename changes; empty what is wild."""
    name, _, number = text.lower().partition("@")
    return "" if is_wild(name) else name, "" if is_wild(number) else number


def _without_ids(place: str) -> str:
    return "/".join(each.partition("@")[0] for each in place.split("/"))
