"""What rules about GitLab's inventory have in common."""

import re

from keylease.audit.federated import kind_of_secret
from keylease.audit.model import Record

_SECRET = re.compile(r"(?:^|_)(?:SECRET|PASSWORD|PASSPHRASE|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|SECRET_?KEY)$")


def named_secret(name: str) -> bool:
    """Whether a variable's name says that it holds a secret."""
    return bool(_SECRET.search(name.upper()) or kind_of_secret(name))


def holds_secret(record: Record) -> bool:
    """Whether a variable holds one, by its value's form, by its masking or by its name."""
    facts = record.facts
    return bool(facts.get("looks_like")) or facts.get("masked") is True or named_secret(str(facts.get("name", "")))
