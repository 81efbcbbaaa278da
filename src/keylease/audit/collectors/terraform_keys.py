"""Static keys that Terraform makes, and those that it puts into CI settings. What they are, never their values.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_access_key (pgp_key);
…/hashicorp/google/latest/docs/resources/google_service_account_key (public_key_data);
…/hashicorp/azuread/latest/docs/resources/application_password;
…/hashicorp/vault/latest/docs/resources/approle_auth_backend_role_secret_id (wrapping_ttl);
…/databricks/databricks/latest/docs/resources/token; …/integrations/github/latest/docs/resources/actions_secret (value,
plaintext_value); …/gitlabhq/gitlab/latest/docs/resources/project_variable
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from keylease.audit.collectors.policies import STATIC_KEY, Subjects
from keylease.audit.hcl import Block, Call, Raw
from keylease.audit.in_file import Declared
from keylease.audit.literals import credentials_in, is_placeholder
from keylease.audit.model import Location, Record

MADE: Mapping[str, tuple[str, str, str]] = {
    "aws_iam_access_key": ("aws", "pgp_key", ""),
    "google_service_account_key": ("gcp", "public_key_data", "service_account_id"),
    "azuread_application_password": ("azure", "", "application_id"),
    "azuread_service_principal_password": ("azure", "", ""),
    "vault_token": ("vault", "wrapping_ttl", ""),
    "vault_approle_auth_backend_role_secret_id": ("vault", "wrapping_ttl", ""),
    "databricks_token": ("databricks", "", ""),
    "databricks_obo_token": ("databricks", "", ""),
    "databricks_service_principal_secret": ("databricks", "", "service_principal_id"),
}
"""Type of a resource → whose key it makes, the attributes that keep it out of the state and that say whom it is for."""

_GITHUB = ("secret_name", ("value", "plaintext_value"))
_GITLAB = ("key", ("value",))
STORED: Mapping[str, tuple[str, Sequence[str]]] = {
    "github_actions_secret": _GITHUB,
    "github_actions_environment_secret": _GITHUB,
    "github_actions_organization_secret": _GITHUB,
    "gitlab_project_variable": _GITLAB,
    "gitlab_group_variable": _GITLAB,
    "gitlab_instance_variable": _GITLAB,
}
"""Type of a resource that puts something into CI settings → its attributes for the name and for the value."""

_MADE = re.compile(rf"(?<![\w.-])({'|'.join(MADE)})\.([\w-]+)(?:\[[^\]\n]{{0,100}}\])?\.(\w+)")


class Keys:
    """What the files of a directory say together: what of which key is used where."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], set[str]] = {}
        self._stored: dict[tuple[str, str], list[str]] = {}

    def learn(self, text: str, root: Block) -> None:
        """Take in a file."""
        for kind, label, attribute in _MADE.findall(text):
            self._used.setdefault((kind, label), set()).add(attribute)
        for block in root.blocks:
            if block.type == "resource" and len(block.labels) == 2 and block.labels[0] in STORED:
                name = _name(block)
                for key in _keys_in(block):
                    self._stored.setdefault(key, []).append(".".join(block.labels) + (f" ({name})" if name else ""))

    def made(self, block: Block, path: str, plain: Callable[[Any], Any], subjects: Subjects) -> Iterator[Record]:
        """A resource that makes a key."""
        kind, label = block.labels
        provider, sealing, holder = MADE[kind]
        used = self._used.get((kind, label), set())
        of = plain(block.value(holder)) if holder else ""
        facts = {
            "type": kind,
            "label": label,
            "provider": provider,
            "sealed": bool(sealing) and block.value(sealing) is not None,
            # No token can take the place of a password for SMTP.
            "smtp": "ses_smtp_password_v4" in used and "secret" not in used,
            "of": of if isinstance(of, str) else "",
            "stored": self._stored.get((kind, label), []),
            **Declared([block.type, *block.labels]).fact(),
        }
        yield Record(STATIC_KEY, subjects.of(f"{kind}.{label}", "/static_key"), facts, Location(path, block.line))

    def stored(self, block: Block, path: str, plain: Callable[[Any], Any], subjects: Subjects) -> Iterator[Record]:
        """A resource that puts a value into CI settings; one of a key that is made here is told with that."""
        kind, label = block.labels
        attribute = next((block.attributes[each] for each in STORED[kind][1] if block.value(each) is not None), None)
        if attribute is None or _keys_in(block):
            return
        name, form, literal = plain(block.value(STORED[kind][0])), "", ""
        value = plain(attribute.value) if not isinstance(attribute.value, Raw | Call) else None
        if isinstance(value, str) and "${" not in value:
            form = next((each.what for each in credentials_in(value, str(name))), "")
            stands_for = not value or is_placeholder(value) or _is_ignored(block)
            literal = "placeholder" if stands_for and not form else "clear"
        facts = {
            "type": kind,
            "label": label,
            "name": name if isinstance(name, str) else "",
            "literal": literal,
            "form": form,
            **Declared([block.type, *block.labels]).fact(),
        }
        yield Record(STATIC_KEY, subjects.of(f"{kind}.{label}", "/static_key"), facts, Location(path, attribute.line))


def _name(block: Block) -> str:
    name = block.value(STORED[block.labels[0]][0])
    return name if type(name) is str else ""


def _keys_in(block: Block) -> list[tuple[str, str]]:
    """Keys made here that its value is of."""
    found = []
    for name in STORED[block.labels[0]][1]:
        value = block.value(name)
        text = value.text if isinstance(value, Call) else value if isinstance(value, str) else ""
        found += [(kind, label) for kind, label, _ in _MADE.findall(text)]
    return list(dict.fromkeys(found))


def _is_ignored(block: Block) -> bool:
    """Whether Terraform leaves alone what somebody writes there later: what is in the file is then no secret."""
    given = [each.value("ignore_changes") for each in block.of("lifecycle")] or [block.value("lifecycle")]
    return any(re.search(r"\b(?:all|value|plaintext_value)\b", str(each)) for each in given)
