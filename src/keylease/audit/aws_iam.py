"""What an IAM policy allows on everything, as cloudsplaining judges it.

cloudsplaining looks at texts; here a policy is first brought down to what it can judge: statements that allow something
on all resources, with no condition that narrows them, less what is denied outright. What can't be known (a reference
of a template) is left out. https://cloudsplaining.readthedocs.io/en/latest/glossary/privilege-escalation/
"""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from keylease.audit.aws_policy import matches

EXTRA = "pip install 'keylease[audit]'"

_WIDE_KEYS = {
    "aws:securetransport",
    "aws:requestedregion",
    "aws:currenttime",
    "aws:epochtime",
    "aws:multifactorauthpresent",
    "aws:useragent",
}
"""Conditions on these don't say on what: the statement is as wide as before, though perhaps at fewer times."""

_WHOLE = {
    "s3": re.compile(r"\*(?:/\*)?"),
    "secretsmanager": re.compile(r"(?:secret:)?\*"),
    "ssm": re.compile(r"(?:parameter/?)?\*"),
    "dynamodb": re.compile(r"(?:table/)?\*"),
    "kms": re.compile(r"(?:key/)?\*"),
}
"""Service → the end of an ARN that means all that it has."""

_SPECIAL = re.compile("[*?\ue000-\ue002]")
"""What :func:`matches` does not take as it stands."""

_ROLES = re.compile(r"arn:[^:]*:iam::[^:]*:(?:role/)?\*")


class Allowed(Struct, frozen=True):
    """What a policy allows on everything. admin: all there is. sure: no Deny or wide condition may make it less.

    services: all of their actions. escalations: (way, its actions). secrets: actions that read data or secrets.
    credentials: actions that hand out credentials. roles: which of PassRole and AssumeRole it has for all roles.
    inverse: (statement, element) of Allow with NotAction or NotResource.
    """

    admin: bool = False
    sure: bool = True
    services: tuple[str, ...] = ()
    escalations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    secrets: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    inverse: tuple[tuple[int, str], ...] = ()


def is_installed() -> bool:
    """Whether cloudsplaining is there; it isn't loaded."""
    return importlib.util.find_spec("cloudsplaining") is not None


def plainly(document: Any) -> Allowed:
    """`admin`, `sure`, `roles` and `inverse`: what needs no library."""
    return _read(document)[0]


def allowed(document: Any) -> Allowed:
    """All of it. Raises ImportError without cloudsplaining."""
    try:
        return _judged(json.dumps(document, sort_keys=True))
    except (TypeError, ValueError, RecursionError):
        return Allowed()


@lru_cache(512)
def _judged(text: str) -> Allowed:
    found, allow, deny = _read(json.loads(text))
    if found.admin or not allow:
        return found
    from cloudsplaining.scan.policy_document import PolicyDocument
    from policy_sentry.querying.all import get_all_actions

    known = sorted(get_all_actions())
    statements = [made for each in allow if (made := _expanded(each, known, "Allow"))]
    statements += [made for each in deny if (made := _expanded(each, known, "Deny"))]
    judged = PolicyDocument({"Version": "2012-10-17", "Statement": statements})
    denied = [action for each in deny for action in _listed(each.get("Action"))]
    services = [each for each in _services(allow) if not any(matches(action.lower(), f"{each}:*") for action in denied)]
    return Allowed(
        found.admin,
        found.sure,
        tuple(services),
        tuple((str(each["type"]), tuple(each["actions"])) for each in judged.allows_privilege_escalation),
        tuple(judged.allows_data_exfiltration_actions),
        tuple(judged.credentials_exposure),
        found.roles,
        found.inverse,
    )


def _services(allow: list[dict[str, Any]]) -> list[str]:
    actions = {str(action).lower() for each in allow for action in _listed(each.get("Action"))}
    return sorted(action.removesuffix(":*") for action in actions if re.fullmatch(r"[a-z0-9-]+:\*", action))


def _expanded(statement: Mapping[str, Any], known: list[str], effect: str) -> dict[str, Any] | None:
    """The statement with the actions that its patterns mean: cloudsplaining knows no NotAction in a Deny."""
    patterns = [str(each).lower() for each in _listed(statement.get("Action", statement.get("NotAction")))]
    wild = [pattern for pattern in patterns if _SPECIAL.search(pattern)]
    starts = tuple(_SPECIAL.split(pattern, maxsplit=1)[0] for pattern in wild)
    exact, inverse = {*patterns} - {*wild}, "Action" not in statement

    def is_meant(action: str) -> bool:  # asked of some 20,000
        return action in exact or (action.startswith(starts) and any(matches(pattern, action) for pattern in wild))

    found = [each for each in known if is_meant(each.lower()) is not inverse]
    return {"Effect": effect, "Action": found, "Resource": "*"} if found else None


def _read(document: Any) -> tuple[Allowed, list[dict[str, Any]], list[dict[str, Any]]]:
    """What can be told at once; statements that allow on everything; those that deny on everything."""
    allow: list[dict[str, Any]] = []
    deny: list[dict[str, Any]] = []
    roles: set[str] = set()
    inverse: list[tuple[int, str]] = []
    sure = True
    listed = _listed(document.get("Statement")) if isinstance(document, Mapping) else []
    for index, each in enumerate(listed, 1):
        if not isinstance(each, Mapping):
            continue
        narrow = _narrows(each.get("Condition"))
        if each.get("Effect") == "Deny":
            made = None if each.get("Condition") else next(_whole(each), None)
            deny += [made] if made else []
            sure = sure and made is not None
        elif each.get("Effect") == "Allow" and not narrow:
            inverse += [(index, name) for name in ("NotAction", "NotResource") if _leaves_something(each.get(name))]
            found = list(_whole(each))
            allow += found
            roles |= {action for made in found for action in ("iam:PassRole", "sts:AssumeRole") if _has(made, action)}
            if any(_ROLES.fullmatch(str(value)) for value in _listed(each.get("Resource"))):
                roles |= {action for action in ("iam:PassRole", "sts:AssumeRole") if _has(each, action)}
            sure = sure and not (each.get("Condition") and found)
    roles = {action for action in roles if not any(_has(each, action) for each in deny)}
    admin = not deny and any(_is_all(action) for each in allow for action in _listed(each.get("Action")))
    return Allowed(admin, sure, roles=tuple(sorted(roles)), inverse=tuple(inverse)), allow, deny


def _whole(statement: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The statement on all resources, if it is; else on all that one service has."""
    key = "Action" if "Action" in statement else "NotAction"
    given = [str(each) for each in _listed(statement.get(key)) if isinstance(each, str)]
    unknown = [each for each in given if "$" in each or (":" not in each and not _is_all(each))]
    actions = [each for each in given if each not in unknown]
    if not actions or (key == "NotAction" and unknown):
        return
    resources = [str(each) for each in _listed(statement.get("Resource"))]
    if any(_is_all(each) or re.fullmatch(r"arn:\*|arn:[\w*-]+(:\*){1,4}", each) for each in resources):
        yield {"Effect": statement["Effect"], key: actions}
    elif key == "Action" and statement["Effect"] == "Allow":
        for each in resources:
            parts = each.split(":", 5)
            whole = _WHOLE.get(parts[2]) if len(parts) == 6 and parts[0] == "arn" else None
            if whole and whole.fullmatch(parts[5]):
                own = [action for action in actions if action.lower().startswith(f"{parts[2]}:")]
                own += [f"{parts[2]}:*"] if any(map(_is_all, actions)) else []
                if own:
                    yield {"Effect": "Allow", "Action": own}


def _has(statement: Mapping[str, Any], action: str) -> bool:
    if "Action" not in statement:
        given = _listed(statement.get("NotAction"))
        return bool(given) and not any(matches(str(each).lower(), action.lower()) for each in given)
    return any(matches(str(each).lower(), action.lower()) for each in _listed(statement["Action"]))


def _narrows(condition: Any) -> bool:
    tests = condition.values() if isinstance(condition, Mapping) else ()
    keys = [key for each in tests if isinstance(each, Mapping) for key in each]
    return bool(condition) and not (keys and all(str(key).lower() in _WIDE_KEYS for key in keys))


def _leaves_something(listed: Any) -> bool:
    return bool(listed) and not any(_is_all(str(each)) for each in _listed(listed))


def _is_all(text: str) -> bool:
    return re.fullmatch(r"\*+(?::\*+)?", text) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
