"""What the rules about an AWS account's users and keys have in common, and their samples."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from keylease.audit.aws_iam import plainly
from keylease.audit.credentials import is_active
from keylease.audit.facts import text, texts
from keylease.audit.model import Inventory, Record
from keylease.audit.samples import Row, github

ADMINISTRATOR = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/AdministratorAccess", re.ASCII)
KEYS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html"
PRACTICES = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html"


def account(record: Record) -> str:
    """Of a record of the collector: the first part of its subject; empty for one from a file."""
    found = re.match(r"aws://([^/]+)", record.subject)
    return found[1] if found else ""


def keys_of_users(inventory: Inventory) -> Mapping[tuple[str, str], list[Record]]:
    """(account, user) → the keys that are switched on."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in inventory.of("aws.access_key"):
        if is_active(record) and account(record) and text(record, "holder"):
            found.setdefault((account(record), text(record, "holder")), []).append(record)
    return found


def administrators(inventory: Inventory) -> Mapping[tuple[str, str], str]:
    """(account, user) → what makes the user one: a policy that allows everything, for certain."""
    owners: dict[tuple[str, str], str] = {}
    for record in inventory.of("aws.iam_policy"):
        judged = plainly(record.facts.get("document"))
        if judged.admin and judged.sure:
            for owner in texts(record, "attached_to"):
                owners.setdefault((account(record), owner), text(record, "name"))
    found: dict[tuple[str, str], str] = {}
    for user in inventory.of("aws.user"):
        where, name = account(user), text(user, "name")
        own = [f"user/{name}", *(f"group/{group}" for group in texts(user, "groups"))]
        by = next((owners[where, owner] for owner in own if (where, owner) in owners), "")
        if not by and any(ADMINISTRATOR.fullmatch(each) for each in texts(user, "policies")):
            by = "AdministratorAccess"
        if by and where:
            found[where, name] = by
    return found


def switch_off(user: str) -> str:
    """Commands, for a change: the key's id is not in the inventory."""
    name = shlex.quote(user)
    return (
        f"aws iam list-access-keys --user-name {name}\n"
        f"aws iam update-access-key --user-name {name} --status Inactive --access-key-id KEY_ID"
    )


# Samples.


def key(user: str = "ci", hint: str = "AKIA…WXYZ", created: str = "2026-10-01T00:00:00Z", **more: Any) -> Row:
    """An access key."""
    facts = {"name": hint, "hint": hint, "holder": user, "created_at": created, "last_used_at": None, "active": True}
    return "aws.access_key", f"aws://123456789012/user/{user}/key/{hint}", {**facts, **more}


def user(name: str = "ci", *policies: str, groups: tuple[str, ...] = ()) -> Row:
    """A user."""
    facts = {"name": name, "policies": list(policies), "groups": list(groups)}
    return "aws.user", f"aws://123456789012/user/{name}", facts


def role(name: str = "deploy", where: str = "123456789012", **more: Any) -> Row:
    """A role that jobs of GitHub may take."""
    trusted = {
        "Version": "2012-10-17",
        "Statement": [github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}})],
    }
    return "aws.trust_policy", f"aws://{where}/role/{name}", {"document": trusted, "name": name, "role": name, **more}


def everything(*attached_to: str) -> Row:
    """A policy that allows everything."""
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    facts = {"document": {"Statement": [statement]}, "name": "all", "attached_to": list(attached_to)}
    return "aws.iam_policy", "aws://123456789012/policy/all", facts
