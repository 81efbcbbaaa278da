"""The action's inputs as texts: their names, ours and vault-action's, and what goes with what.

Runners hand an input over as ``INPUT_`` and its name in upper case, blanks as ``_``
(https://docs.github.com/actions/reference/metadata-syntax-for-github-actions#inputs); some engines and shells turn
its dashes into ``_`` as well, so both are looked at. An empty input is one that was not given.
"""

import re
from collections.abc import Sequence

from keylease.config import values
from keylease.errors import UsageError
from keylease.model import Env

# Our name → vault-action's, where it has another one.
_ALIASES = {
    "mount": "path",
    "audience": "jwtGithubAudience",
    "ca-certificate": "caCertificate",
    "client-certificate": "clientCertificate",
    "client-key": "clientKey",
    "export-env": "exportEnv",
    "export-token": "exportToken",
    "output-token": "outputToken",
    "role-id": "roleId",
    "secret-id": "secretId",
    "kubernetes-token-file": "kubernetesTokenPath",
    "ignore-not-found": "ignoreNotFound",
}

# What says how to reach a provider or what to read: a keylease.yml says it too, so it is one or the other.
INSTEAD_OF_A_FILE = (
    "url",
    "role",
    "mount",
    "method",
    "audience",
    "namespace",
    "secrets",
    "ca-certificate",
    "client-certificate",
    "client-key",
    "tls-verify",
    "tlsSkipVerify",
    "export-env",
    "export-token",
    "output-token",
    "timeout",
    "retries",
    "ignore-not-found",
    "token",
    "role-id",
    "secret-id",
    "kubernetes-token-file",
    "secretEncodingType",
)

# Inputs of vault-action that can't be honoured, and what to do instead.
_REFUSED = {
    "pki": "read it from keylease.yml: `secret: vault://pki/issue/ROLE` with `with: {common_name: …}`",
    "githubToken": "use `method: jwt`: the job's own identity token needs no stored credential",
    "username": "use `method: jwt`: the job's own identity token needs no stored credential",
    "password": "use `method: jwt`: the job's own identity token needs no stored credential",
    "authPayload": "use `method: jwt`, approle, kubernetes or token",
    "extraHeaders": "reach the server without a header of its own, or keep vault-action for this step",
    "jwtPrivateKey": "remove it: the CI platform signs the job's identity token (`permissions: id-token: write`)",
    "jwtKeyPassword": "remove it: the CI platform signs the job's identity token (`permissions: id-token: write`)",
    "jwtTtl": "remove it: the CI platform decides how long the job's identity token lives",
}

MOVING = "moving-from-vault-action"


class Inputs:
    """Those of one step. Each method raises :class:`UsageError` naming the input as the user calls it."""

    def __init__(self, env: Env) -> None:
        self._env = env

    def text(self, name: str) -> str | None:
        """An input by our name or vault-action's, trimmed as actions/toolkit does; None if it was not given."""
        found: dict[str, str] = {}
        for known in (name, _ALIASES.get(name)):
            if known:
                upper = known.upper().replace(" ", "_")
                for variable in dict.fromkeys((f"INPUT_{upper}", f"INPUT_{upper.replace('-', '_')}")):
                    value = self._env.get(variable, "").strip()
                    if value:
                        found.setdefault(value, known if known not in found.values() else variable)
        if len(found) > 1:
            first, second = list(found.values())[:2]
            raise bad(first, f"says something else than `{second}`, which means the same", "give one of the two")
        return next(iter(found), None)

    def boolean_or_none(self, name: str) -> bool | None:
        """``true`` or ``false``; None if it was not given."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return values.boolean(text)
        except ValueError:
            raise bad(self.called(name), "must be true or false") from None

    def boolean(self, name: str, default: bool) -> bool:
        """The same, with a default."""
        value = self.boolean_or_none(name)
        return default if value is None else value

    def seconds(self, name: str) -> float | None:
        """A time, more than none; None if it was not given."""
        text = self.text(name)
        return None if text is None else seconds(text, name)

    def listed(self, name: str) -> list[str]:
        """Paths, one a line; or on one line, with blanks between them."""
        text = self.text(name) or ""
        return [each.strip() for each in (text.splitlines() if "\n" in text else text.split()) if each.strip()]

    def called(self, name: str) -> str:
        """What the user calls it: our name or vault-action's."""
        alias = _ALIASES.get(name)
        own = {f"INPUT_{name.upper()}", f"INPUT_{name.upper().replace('-', '_')}"}
        return alias if alias and not any(self._env.get(variable, "").strip() for variable in own) else name

    def given(self, names: Sequence[str]) -> list[str]:
        """Which of `names` were given, as the user calls them."""
        return [self.called(name) for name in names if self.text(name) is not None]

    def refuse(self) -> None:
        """Raise for an input of vault-action that can't be honoured."""
        for name, change in _REFUSED.items():
            if self.text(name) is not None:
                raise bad(name, "is an input of vault-action that Keylease does not have", change, MOVING)


def is_text(config: str) -> bool:
    """Whether the `config` input holds the YAML itself, not a path."""
    return "\n" in config or re.match(r"\s*version\s*:", config) is not None


def seconds(text: str, name: str) -> float:
    """A time, more than none. Raises :class:`UsageError` naming the input or flag."""
    try:
        found = values.seconds(text)
    except ValueError as error:
        raise bad(name, f"must be {error}") from None
    if found <= 0:
        raise bad(name, "must be more than 0")
    return found


def bad(name: str, problem: str, change: str = "", docs: str = "inputs") -> UsageError:
    """The error for an input or flag."""
    return UsageError(f"{name}: {problem}", change=change, docs=docs)
