"""The nouns that all parts share. Plain data: no I/O, no provider's name.

msgspec's Struct, not dataclasses: thirty of those cost 20 ms to define, a sixth of a whole lease.
"""

# long file: nouns that are read together.

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from keylease.errors import NotFoundError, UsageError
from keylease.secret import Secret

Env = Mapping[str, str]
"""Environment variables, handed in: nothing but cli.py and action.py looks at os.environ."""

Seal = Callable[[str | bytes, str], Secret]
"""(value, label) → Secret, registered with the masker."""


class Origin(Struct, frozen=True):
    """Where the user wrote something, for error messages: ``keylease.yml:12: leases[0].env``."""

    source: str = ""
    line: int | None = None
    key: str = ""

    def __str__(self) -> str:
        place = self.source + (f":{self.line}" if self.line else "")
        return f"{place}: {self.key}" if place and self.key else place or self.key


class TokenEndpoint(Struct, frozen=True):
    """Where a vendor's own library gets further identity tokens of the same audience, as long as the job runs.

    A GET to `url` with the header ``Authorization: {authorization}`` answers a JSON object whose `field` is the token.
    authorization: whoever has it can ask for tokens of *any* audience in the job's name.
    """

    url: str
    authorization: Secret
    field: str


class IdentityToken(Struct, frozen=True):
    """The OIDC JWT that the CI platform minted for this job.

    claims: its payload, not verified by us (the provider verifies the signature).
    platform: the name of the identity implementation, e.g. ``github``.
    source: the variable, file or endpoint it came from, for messages.
    endpoint: where more of them come from, if the platform has a place that others can ask too.
    """

    jwt: Secret
    claims: Mapping[str, Any]
    platform: str
    source: str
    audience: str
    endpoint: TokenEndpoint | None = None

    @property
    def expires_at(self) -> float | None:
        """Unix time, or None where the token does not say."""
        value = self.claims.get("exp")
        return float(value) if isinstance(value, int | float) else None


class Revocation(Struct):
    """What it takes to end a lease from another process (the action's post step). The only state we keep.

    provider: the type in the registry. data: JSON-able settings (addresses, mounts; no values).
    token: the credential that may revoke; None when the leases can't be revoked.
    own_token: whether `token` was issued by us and dies too (a token the user gave stays alive).
    children: ids of dynamic leases taken with it.
    expires_at: Unix time at which everything ends by itself, None if unknown.
    strict: that it can't be revoked fails the job.
    """

    provider: str
    label: str
    data: dict[str, Any]
    token: Secret | None
    own_token: bool = True
    children: list[str] = field(default_factory=list)
    expires_at: float | None = None
    strict: bool = False

    def add_child(self, lease_id: str) -> None:
        """Record a dynamic lease (called from several threads: an append is one step)."""
        self.children.append(lease_id)


class Renewal(Struct):
    """A credential that can be kept alive while a command runs.

    ttl: seconds granted last. expires_at: Unix time.
    renew: asks for more; returns the seconds granted now. Raises :class:`KeyleaseError`.
    """

    label: str
    ttl: float
    expires_at: float
    renew: Callable[[], float]


class LeaseFile(Struct, frozen=True):
    """A file that comes with a lease: 0600, outside the workspace where that can be, gone when the job ends.

    variable: is set to the file's path, as later steps see it; `also`: further variables for the same.
    file: its name. content: what is in it; or `render`, which makes it of {variable: path} of the lease's files
        listed before this one.
    fresh: the content for a new identity token: while `exec` runs, the file is rewritten before the old one expires.
    lifetime: seconds that the content is good for, where that may be less than the identity token's.
    """

    variable: str
    file: str
    content: Secret | None = None
    render: Callable[[Mapping[str, str]], Secret] | None = None
    also: Sequence[str] = ()
    fresh: Callable[[IdentityToken], Secret] | None = None
    lifetime: float | None = None


class Lease(Struct):
    """A short-lived credential that an exchanger obtained.

    provider: the name in the configuration. type: the registry's name.
    fields: environment variable → value, what ``use: provider`` exports.
    plain: the same for what is no secret (an address): exported, never masked.
    unset: variables to take out of the job's environment → whether an empty one does as well, where a platform can't
        take one out.
    files: what the vendor's tools read from files.
    token: the identity token that it was exchanged for; None if there was none.
    session: what the same vendor's manager needs to read (an authenticated client); opaque to everybody else.
    fingerprint: SHA-256 of the issued token, so that a leak can be traced to its run; only for issued,
        high-entropy tokens.
    account: who we are there, in the provider's words (role, display name), for the report.
    """

    provider: str
    type: str
    fields: Mapping[str, Secret]
    session: object
    account: str = ""
    expires_at: float | None = None
    fingerprint: str | None = None
    plain: Mapping[str, str] = field(default_factory=dict)
    unset: Mapping[str, bool] = field(default_factory=dict)
    files: Sequence[LeaseFile] = ()
    token: IdentityToken | None = None
    revocation: Revocation | None = None
    renewal: Renewal | None = None
    warnings: list[str] = field(default_factory=list)


def fingerprint(token: Secret) -> str:
    """The SHA-256 (hex) of an issued token. Never call it on a stored value: short ones can be guessed."""
    return hashlib.sha256(token.reveal_bytes()).hexdigest()


class Read(Struct, frozen=True):
    """One request to a secrets manager. Equal requests are sent once, however many fields are wanted.

    provider: the name in the configuration of the provider whose lease is used.
    scheme: which manager (``vault``). path: what follows ``scheme://``, without the fragment.
    options: the manager's own settings, e.g. ``(("kv", "2"), ("version", "3"))``.
    parameters: body of a request that must be written to get an answer (pki, ssh, transit), or None to read.

    ``("raw", "true")`` among the options is the line syntax: `path` is the provider's own, and is shown as written.
    """

    provider: str
    scheme: str
    path: str
    options: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, Any], ...] | None = None

    def __str__(self) -> str:
        return self.path if self.raw else f"{self.scheme}://{self.path}"

    @property
    def raw(self) -> bool:
        """Whether it was written as a line (``secret/data/ci key | NAME``), not as a reference."""
        return ("raw", "true") in self.options


Wildcard = Literal["*", "**"]
"""All top-level fields: ``*`` makes variables' names upper case, ``**`` keeps their case; outputs always keep it.

The meaning they have in vault-action (README "Multiple Secrets"; src/constants.js: WILDCARD_UPPERCASE is ``*``).
"""


def normalised(name: str) -> str:
    """A field's name as a variable's: dots become ``__``, dashes and what is neither letter nor digit go.

    The rule of vault-action (src/utils.js, normalizeOutputKey), so that moving over changes no name.
    """
    return re.sub(r"[^\w]", "", name.replace(".", "__"))


class Deliver(Struct, frozen=True):
    """One line of what the user asked for: a value, and where it goes.

    selector: the steps from the top of the document down to the value: ``("data", "password")``; or a wildcard.
        None takes the only field there is.
    name: the variable's name; with a wildcard, the prefix put before each field's name.
    output_name: the output's name where it differs (vault-action: ``mykey`` → output mykey, variable MYKEY).
    decode: how the stored text becomes the value.
    file: a path to write to; binary values can only go there.
    required: False lets a missing secret or field pass with a warning.
    """

    read: Read
    selector: Sequence[str] | Wildcard | None
    name: str
    env: bool = True
    output: bool = False
    output_name: str | None = None
    file: str | None = None
    decode: Literal["none", "base64", "hex", "base64url"] = "none"
    required: bool = True
    origin: Origin = field(default_factory=Origin)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all fields of the secret."""
        return self.selector in ("*", "**")


class Use(Struct, frozen=True):
    """``use: provider``: take the lease and export the provider's own variables (renamed by `names`)."""

    provider: str
    names: Mapping[str, str] = field(default_factory=dict)
    env: bool = True
    output: bool = False
    origin: Origin = field(default_factory=Origin)


class Provider(Struct, frozen=True):
    """A configured provider.

    settings: an instance of its exchanger's own `Settings`.
    needs: settings whose value is read with another provider's lease first (an AppRole secret id kept in another
        Vault): field of `settings` → what to read. config refuses cycles.
    """

    name: str
    type: str
    settings: Any
    needs: Mapping[str, "Deliver"] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)


class Plan(Struct, frozen=True):
    """All that one run is asked to do, checked: what config makes and pipelines carry out.

    deadline: seconds for the whole step. allow_names: protected variables the user allows by name.
    identity_variables: GitLab: names of `id_tokens:` variables to look at first.
    strict_revoke: a revocation that fails also fails the job.
    """

    providers: Mapping[str, Provider]
    uses: Sequence[Use] = ()
    deliveries: Sequence[Deliver] = ()
    deadline: float = 120.0
    allow_names: frozenset[str] = frozenset()
    identity_variables: Sequence[str] = ()
    strict_revoke: bool = False
    revoke: bool = True

    def reads(self, provider: str) -> list[Read]:
        """What is read with the lease of `provider`, each once."""
        needs = [need for each in self.providers.values() for need in each.needs.values()]
        return list(dict.fromkeys(d.read for d in [*needs, *self.deliveries] if d.read.provider == provider))


class Document:
    """What a manager read: a tree of JSON, kept unprinted. Values leave it one by one, sealed.

    raw: it was asked for by the line syntax, in which messages then show its fields.
    version: of a stored secret, where the manager tells. expires_at: Unix time.
    renewal: of a dynamic secret.
    """

    __slots__ = ("_data", "_text", "expires_at", "label", "raw", "renewal", "version")

    def __init__(
        self,
        label: str,
        data: Mapping[str, Any],
        *,
        version: str | None = None,
        expires_at: float | None = None,
        renewal: Renewal | None = None,
        raw: bool = False,
    ) -> None:
        self.label = label
        self._data = data
        self._text: str | bytes | None = None
        self.raw = raw
        self.version = version
        self.expires_at = expires_at
        self.renewal = renewal

    @classmethod
    def of_text(cls, label: str, text: str | bytes, *, version: str | None = None) -> "Document":
        """A secret that is one text: its value is the whole, its fields are those of its JSON."""
        made = cls(label, {}, version=version)
        made._text = text
        return made

    @property
    def is_text(self) -> bool:
        """Whether it is one text, with no fields but those that its JSON may have."""
        return self._text is not None

    def __repr__(self) -> str:
        return f"<Document {self.label}: {'text' if self._text is not None else f'{len(self._data)} fields'}>"

    def names(self) -> list[str]:
        """The top-level field names, in the server's order. Raises :class:`UsageError` where there can be none."""
        if self._text is None:
            return list(self._data)
        found = _json_or(self._text)
        if not isinstance(found, Mapping):
            raise UsageError(
                f"{self.label}: is one value, not a JSON object: it has no fields",
                change=f"take it as a whole: {self.label}",
                docs="field",
            )
        return list(found)

    def value(self, selector: Sequence[str] | None, seal: Seal) -> Secret:
        """The value at `selector`, sealed. What is not a string is given as JSON text.

        Raises :class:`NotFoundError` naming the fields there are; :class:`UsageError` when `selector` is None
        and there is not exactly one field, and for half a character (RFC 8259 §8.2), which has no bytes.
        """
        if selector is None:
            if self._text is not None:
                return seal(_whole(self._text, self.label), self.label)
            if len(self._data) != 1:
                raise UsageError(
                    f"{self.label}: has {len(self._data)} fields; say which",
                    change=f"{self._any_field()} with FIELD one of: {_listed(self._data)}",
                    docs="field",
                )
            selector = self.names()
        node: Any = self._data if self._text is None else self._text
        for depth, step in enumerate(selector):
            if isinstance(node, str | bytes):
                node = _json_or(node)
            if isinstance(node, Mapping) and step in node:
                node = node[step]
            elif isinstance(node, list) and step.isascii() and step.isdigit() and int(step) < len(node):
                node = node[int(step)]
            else:
                parent = ".".join(selector[:depth])
                raise NotFoundError(
                    f"{self.label}: no field {'.'.join(selector)!r}",
                    cause=f"the fields {'under ' + repr(parent) if parent else 'there'} are: {_listed(node)}",
                    change=f"use {self._any_field()} with one of these names as FIELD"
                    if depth or isinstance(node, Mapping | list)
                    else "leave the field out: then the value is taken as it is",
                    docs="field",
                )
        label = f"{self.label}{' ' if self.raw else '#'}{'.'.join(selector)}"
        return seal(_whole(text_of(node), label), label)

    def _any_field(self) -> str:
        return f"`{self.label} FIELD | NAME`" if self.raw else f"{self.label}#FIELD"


def text_of(node: Any) -> str | bytes:
    """A JSON value as the text a variable holds: strings as they are, the rest as compact JSON."""
    if isinstance(node, str | bytes):
        return node
    import json

    return json.dumps(node, separators=(",", ":"), ensure_ascii=False)


def _whole(text: str | bytes, label: str) -> str | bytes:
    if isinstance(text, str) and not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise UsageError(
            f"{label}: the value holds half a character (a lone surrogate)",
            cause="it was cut in the middle of a character before it was stored",
            change="store it again; bytes that are no text, as base64",
            docs="field",
        )
    return text


def _json_or(text: str | bytes) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _listed(node: Any) -> str:
    if not isinstance(node, Mapping):
        return "(none: it is a plain value)"
    names = [name if name.isprintable() else ascii(name) for name in map(str, node)]
    return ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "") if names else "(none)"


class Export(Struct, frozen=True):
    """A value on its way to the job.

    source: reference or provider it came from, for the report. expires_at: Unix time or None.
    origin: where the user asked for it.
    file: a file to write `value` to; the variable then holds its path.
    render: makes the file's content, in the place of `value`, of {name: path} of the files before it.
    path_of: the name of an export with a file, before this one: this variable holds the same path.
    """

    name: str
    value: Secret
    source: str
    env: bool = True
    output: bool = False
    output_name: str | None = None
    file: str | None = None
    path_of: str | None = None
    render: Callable[[Mapping[str, str]], Secret] | None = None
    expires_at: float | None = None
    origin: Origin = field(default_factory=Origin)


class Kept(Struct, frozen=True):
    """A file whose content follows the job's identity token while `exec` runs.

    name: of its export. audience: of the token. content: makes it of a new token. expires_at: Unix time, of what is in
    it now. lifetime: seconds that new content is good for, where that may be less than the token's.
    """

    name: str
    audience: str
    content: Callable[[IdentityToken], Secret]
    expires_at: float
    lifetime: float | None = None

    def until(self, token: IdentityToken) -> float:
        """When content made of `token` just now is over: Unix time."""
        ends = token.expires_at or self.expires_at
        return ends if self.lifetime is None else min(ends, time.time() + self.lifetime)


class Trust(Struct, frozen=True):
    """The narrowest trust for this very job at one provider: what ``whoami`` prints and refusals show.

    title: what it is. text: copy-ready (a command, a policy). notes: what to know before using it.
    """

    title: str
    text: str
    notes: Sequence[str] = ()
