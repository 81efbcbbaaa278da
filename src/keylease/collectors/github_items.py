"""What of GitHub's answers an inventory keeps: JSON without any value. Each gives None for what is not GitHub's.

Fields: GitHub's OpenAPI description, https://github.com/github/rest-api-description.
"""

import re
from collections.abc import Mapping
from typing import Any

from keylease.audit.credentials import stamp, utc
from keylease.audit.literals import literals
from keylease.audit.trees import Tree
from keylease.model import Seal
from keylease.sync.ledger import part_of
from keylease.vendors.github_api import Item

_FULL_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}/[A-Za-z0-9._-]{1,100}")
_TAIL = 4
"""Signs of a credential's end that its vendor shows too."""


def repository(item: Item) -> Item | None:
    """Of an organisation's list, or asked for by itself."""
    number, full, name = item.get("id"), item.get("full_name"), item.get("name")
    if not isinstance(number, int) or not isinstance(full, str) or not isinstance(name, str):
        return None
    if not _FULL_NAME.fullmatch(full) or full.partition("/")[2] != name or name in (".", ".."):
        return None  # what follows is asked for by this name
    topics, seen = item.get("topics"), item.get("visibility")
    return {
        "id": number,
        "full_name": full,
        "name": name,
        "visibility": seen if isinstance(seen, str) else "private" if item.get("private") else "public",
        "archived": item.get("archived") is True,
        "disabled": item.get("disabled") is True,
        "fork": item.get("fork") is True,
        "default_branch": str(item.get("default_branch") or ""),
        "topics": [each for each in topics if isinstance(each, str)] if isinstance(topics, list) else [],
    }


def full_name(item: Item) -> Item | None:
    """Of a list of repositories of which the name alone counts."""
    number, full = item.get("id"), item.get("full_name")
    return {"id": number, "full_name": full} if isinstance(number, int) and isinstance(full, str) else None


def secret(item: Item) -> Item | None:
    """A secret of any store and level."""
    name, made, changed = item.get("name"), utc(item.get("created_at")), utc(item.get("updated_at"))
    if not isinstance(name, str) or not name or made is None or changed is None:
        return None
    kept: Item = {"id": name.upper(), "name": name.upper(), "created_at": made, "updated_at": changed}
    if isinstance(item.get("visibility"), str):
        kept["visibility"] = item["visibility"]
    return kept


def variable(item: Item, seal: Seal) -> Item | None:
    """A variable without its value: of one that has a credential's form, whose it is, and what its vendor shows too."""
    kept, value = secret(item), item.get("value")
    if kept is None or not isinstance(value, str):
        return None
    if part_of(kept["name"]):
        return {**kept, "ledger": True}
    for found in literals(Tree({kept["name"]: value}, {})):
        seal(value, f"GitHub variable {kept['name']}")
        kept["looks_like"] = found.what
        if found.prefix and not found.prefix.startswith("-"):
            whole = value.strip()
            kept["hint"] = f"{found.prefix}…{whole[-_TAIL:] if len(whole) == found.length else ''}"
        break
    return kept


def environment(item: Item) -> Item | None:
    """An environment and its protection."""
    number, name, rules = item.get("id"), item.get("name"), item.get("protection_rules", [])
    policy = item.get("deployment_branch_policy")
    if not isinstance(number, int) or not isinstance(name, str) or not name or not isinstance(rules, list):
        return None
    kept: Item = {"id": number, "name": name, "reviewers": 0, "self_review_prevented": False, "wait_minutes": 0}
    kept |= {"custom_rules": 0, "branches": "all"}
    for rule in rules:
        kind = rule.get("type") if isinstance(rule, dict) else None
        if kind == "required_reviewers":
            given = rule.get("reviewers")
            kept["reviewers"] += len(given) if isinstance(given, list) else 0
            kept["self_review_prevented"] |= rule.get("prevent_self_review") is True
        elif kind == "wait_timer":
            kept["wait_minutes"] = rule["wait_timer"] if isinstance(rule.get("wait_timer"), int) else 0
        elif kind != "branch_policy":
            kept["custom_rules"] += 1
    if isinstance(policy, dict):
        kept["branches"] = "protected" if policy.get("protected_branches") is True else "custom"
    if isinstance(item.get("can_admins_bypass"), bool):
        kept["admins_bypass"] = item["can_admins_bypass"]
    return kept


def branch_policy(item: Item) -> Item | None:
    """A pattern of branches or tags that may deploy."""
    number, name = item.get("id"), item.get("name")
    return {"id": number, "name": name} if isinstance(number, int) and isinstance(name, str) else None


def protection_rules(item: Item) -> Item | None:
    """How many rules of Apps protect an environment; the list has no pages."""
    given = item.get("custom_deployment_protection_rules")
    if not isinstance(given, list) or item.get("total_count") != len(given):
        return None
    return {"custom_rules": sum(isinstance(each, dict) and each.get("enabled") is True for each in given)}


def deploy_key(item: Item) -> Item | None:
    """A deploy key. GitHub tells of newer ones only who added them."""
    number, title, only = item.get("id"), item.get("title"), item.get("read_only")
    if not isinstance(number, int) or not isinstance(title, str) or not isinstance(only, bool):
        return None
    kept: Item = {"id": number, "name": title, "read_only": only, "created_at": utc(item.get("created_at"))}
    kept["active"] = item.get("enabled") is not False
    if "last_used" in item:
        kept["last_used_at"] = utc(item["last_used"])
    if isinstance(item.get("added_by"), str):
        kept["added_by"] = item["added_by"]
    return kept


def workflow_permissions(item: Item) -> Item | None:
    """Of a repository or an organisation."""
    given, approve = item.get("default_workflow_permissions"), item.get("can_approve_pull_request_reviews")
    if given not in ("read", "write") or not isinstance(approve, bool):
        return None
    return {"workflow_permissions": given, "can_approve": approve}


def organization(item: Item) -> Item | None:
    """How many repositories it has, as far as the credential may know."""
    if not isinstance(item.get("login"), str):
        return None
    private = item.get("total_private_repos", item.get("owned_private_repos"))
    known = isinstance(item.get("public_repos"), int) and isinstance(private, int)
    return {"repositories": item["public_repos"] + private if known else None}


def installation(item: Item) -> Item | None:
    """An App that is installed."""
    number, slug, chosen = item.get("id"), item.get("app_slug"), item.get("repository_selection")
    held = item.get("permissions")
    if not isinstance(number, int) or not isinstance(slug, str) or not slug or chosen not in ("all", "selected"):
        return None
    kept: Item = {"id": number, "name": slug, "app": slug, "repositories": chosen, "permissions": _levels(held)}
    kept |= {"created_at": utc(item.get("created_at")), "updated_at": utc(item.get("updated_at"))}
    return {**kept, "active": item.get("suspended_at") is None}


def token_grant(item: Item) -> Item | None:
    """A fine-grained token that may act in an organisation. created_at: of the grant, which is the younger one."""
    number, owner, held = item.get("id"), item.get("owner"), item.get("permissions")
    login = owner.get("login") if isinstance(owner, dict) else None
    chosen, name = item.get("repository_selection"), item.get("token_name")
    if not isinstance(number, int) or not isinstance(login, str) or chosen not in ("all", "subset", "none"):
        return None
    if not isinstance(held, dict) or not isinstance(name, str) or not isinstance(item.get("token_expired"), bool):
        return None
    return {
        "id": number,
        "name": name,
        "owner": login,
        "repositories": chosen,
        "permissions": {level: _levels(given) for level, given in held.items() if isinstance(given, dict)},
        "created_at": utc(item.get("access_granted_at")),
        "expires_at": utc(item.get("token_expires_at")),
        "last_used_at": utc(item.get("token_last_used_at")),
        "active": not item["token_expired"],
    }


def member(item: Item) -> Item | None:
    """A person."""
    number, login = item.get("id"), item.get("login")
    return {"id": number, "login": login} if isinstance(number, int) and isinstance(login, str) else None


def departure(item: Item) -> Item | None:
    """An event of the audit log; ``@timestamp`` is in milliseconds. Without a person for what is another event."""
    at = item.get("@timestamp")
    if not isinstance(at, int) or not isinstance(item.get("action"), str):
        return None
    person = item.get("user")
    gone = item["action"] == "org.remove_member" and isinstance(person, str) and person
    return {"id": str(item.get("_document_id", "")), "person": person if gone else "", "at": stamp(at / 1000)}


def file(item: Item) -> Item | None:
    """An entry of a directory."""
    path, sha, size, kind = item.get("path"), item.get("sha"), item.get("size"), item.get("type")
    if not (isinstance(path, str) and isinstance(sha, str) and isinstance(size, int) and isinstance(kind, str)):
        return None
    return {"id": path, "path": path, "sha": sha, "size": size, "type": kind}


def _levels(given: object) -> Mapping[str, Any]:
    return (
        {str(key): level for key, level in given.items() if isinstance(level, str)} if isinstance(given, dict) else {}
    )


def credential(told: Mapping[str, str]) -> Item:
    """What answers say of the credential they were given to; nothing of an App's, and of a fine-grained one its end."""
    found: Item = {}
    ends = _END.fullmatch(told.get("github-authentication-token-expiration", "").strip())
    if ends:
        zone = {"UTC": "+00:00"}.get(ends[3], ends[3])
        found["expires_at"] = utc(f"{ends[1]}T{ends[2]}{zone}")
    if "x-oauth-scopes" in told:
        found["scopes"] = sorted({each.strip() for each in told["x-oauth-scopes"].split(",")} - {""})
        found.setdefault("expires_at", None)  # GitHub names the end of each token that has one
    return found


_END = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (UTC|[+-]\d{4})")
