"""Where a run gets its identity tokens from: the first platform in the registry that is there."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.context import Context
from keylease.errors import IdentityError
from keylease.identity.base import Identity
from keylease.identity.claims import LEEWAY, yaml_text
from keylease.identity.facts import environment_facts
from keylease.model import IdentityToken
from keylease.registry import IDENTITIES

_AUDIENCE = "https://vault.example.com"
"""Stands for the audience that is wanted."""

WAYS = {
    "GitHub Actions": "permissions: id-token: write on the job",
    "GitLab CI": "id_tokens: {VAULT_ID_TOKEN: {aud: " + _AUDIENCE + "}} in the job",
    "Jenkins": "the plugin oidc-provider, and in the pipeline:\n"
    "environment { KEYLEASE_ID_TOKEN_FILE = credentials('vault-id-token') }  // kind: OpenID Connect id token as file",
    "Kubernetes": "a projected serviceAccountToken with the audience, and\n"
    "KEYLEASE_ID_TOKEN_FILE=/var/run/secrets/tokens/vault",
    "CircleCI": "every job has CIRCLE_OIDC_TOKEN_V2, for the organisation's id: set `audience` to that, or make one:\n"
    'export KEYLEASE_ID_TOKEN="$(circleci run oidc get --claims \'{"aud": "' + _AUDIENCE + '"}\')"',
    "Bitbucket Pipelines": "oidc: {audiences: [" + _AUDIENCE + "]} on the step",
    "Buildkite": "nothing to do: buildkite-agent makes the token; it must be in the step's PATH",
    "Azure DevOps": "env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)} on the step",
    "anything else": "KEYLEASE_ID_TOKEN=<the token>, or KEYLEASE_ID_TOKEN_FILE=<a file with it>",
}
"""What it takes on each platform, for the error that there is none."""

# The variables whose presence shows what the user tried.
_HINTS = (
    "KEYLEASE_ID_TOKEN",
    "KEYLEASE_ID_TOKEN_FILE",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)


class IdentitySource:
    """Hands out checked identity tokens, one per audience, renewed when they are about to expire.

    Safe to share between threads: side by side requests for one audience mint one token.
    variables: names of variables to look at first (GitLab's `id_tokens:`), from the configuration.
    """

    def __init__(self, context: Context, variables: Sequence[str] = ()) -> None:
        self._context = context
        self._variables = variables
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._kept: dict[str, IdentityToken] = {}
        self._identities: dict[str, Identity] = {}

    def token(self, audience: str, *, fresh: bool = False) -> IdentityToken:
        """A token that is good for another 30 s at least, where the platform can make one.

        audience: the wanted `aud`; empty: the platform's default. fresh: not the one that is kept (it was refused).
        Raises :class:`IdentityError` when there is no usable token, with the change that mends it, and
        :class:`keylease.errors.UnreachableError` when the platform's token endpoint does not answer.
        """
        with self._lock:
            lock = self._locks.setdefault(audience, threading.Lock())
        with lock:
            kept = self._kept.get(audience)
            if kept is not None and not fresh and not _expires_soon(kept):
                return kept
            for name in IDENTITIES:
                identity = self._identity(name)
                token = identity.token(audience) if identity.detect() else None
                if token is not None:
                    # What lies in a variable or a file costs nothing to look at again, and may have changed.
                    if identity.fetches:
                        self._kept[audience] = token
                    return token
        raise self._none(audience)

    def platform(self) -> str | None:
        """The registry's name of the platform whose tokens are used, or None. Asks nobody."""
        return next((name for name in IDENTITIES if self._identity(name).detect()), None)

    def environment_facts(self) -> dict[str, str]:
        """What the environment says of the job. See :func:`keylease.identity.facts.environment_facts`."""
        return environment_facts(self._context.env)

    def explain(self, claims: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """(claim, value, meaning) for people, in the words of the platform that made the token."""
        for name in IDENTITIES:
            identity = IDENTITIES.load(name)
            if identity.recognises(claims):
                return identity.explain(claims)
        return IDENTITIES.load(self.platform() or next(iter(IDENTITIES))).explain(claims)

    def _identity(self, name: str) -> Identity:
        with self._lock:
            if name not in self._identities:
                self._identities[name] = IDENTITIES.load(name)(self._context, self._variables)
            return self._identities[name]

    def _none(self, audience: str) -> IdentityError:
        here = self.environment_facts().get("platform", "")
        env = self._context.env
        empty = [name for name in _HINTS if name in env and not env[name].strip()]
        ordered = sorted(WAYS, key=lambda way: way != here)
        # As it stands, or not at all: the text is to be pasted into YAML and into a shell.
        wanted = audience if yaml_text(audience) == audience else _AUDIENCE
        lines = [f"{way}:\n  " + WAYS[way].replace("\n", "\n  ").replace(_AUDIENCE, wanted) for way in ordered]
        return IdentityError(
            f"Identity: no OIDC token found for this job{f' of {here}' if here else ''}",
            cause=f"{' and '.join(empty)} is set, but empty" if empty else _cause(here),
            change="one of these:\n" + "\n".join(lines),
            docs="identity-none",
        )


def _cause(here: str) -> str:
    if here:
        return f"{here} hands out none by itself"
    return "this is not a CI job, or its variables were not handed on to this process (container, sudo, env -i)"


def _expires_soon(token: IdentityToken) -> bool:
    return token.expires_at is not None and token.expires_at - time.time() < LEEWAY
