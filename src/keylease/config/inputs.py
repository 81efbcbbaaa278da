"""The action's inputs and the command line's flags into a plan, for the common case of one Vault and no file.

Runners hand an input over as ``INPUT_`` and its name in upper case, blanks as ``_``
(https://docs.github.com/actions/reference/metadata-syntax-for-github-actions#inputs); some engines and shells turn
its dashes into ``_`` as well, so both are looked at. An empty input is one that was not given.
"""

# long file: every input, and which of them exclude each other.

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from keylease.config import lines, values
from keylease.config.assemble import Assembler
from keylease.errors import UsageError
from keylease.model import Deliver, Env, Origin, Plan, Provider, Seal, Use
from keylease.registry import EXCHANGERS
from keylease.secret import Secret

if TYPE_CHECKING:
    from keylease.audit.model import Severity
    from keylease.pipelines.sync import SyncPlan

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
_INSTEAD_OF_A_FILE = (
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

# What only a lease has: a sync or audit gives back its own leases before the step ends, and sets no variable.
_OF_A_LEASE = ("revoke", "strict-revoke", "allow-names")
_OF_A_SYNC = ("sync-plan", "sync-shard", "sync-check")
_OF_AN_AUDIT = ("audit-path", "audit-fail-on", "audit-inventory", "audit-reports", "audit-shard")

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

_NAME = "vault"
_PROVIDER_TEXTS = {
    "url": "url",
    "role": "role",
    "mount": "mount",
    "audience": "audience",
    "namespace": "namespace",
    "ca-certificate": "ca_certificate",
    "client-certificate": "client_certificate",
    "client-key": "client_key",
    "role-id": "role_id",
    "kubernetes-token-file": "kubernetes_token_file",
}

_Decode = Literal["none", "base64", "hex"]
_ENCODINGS: Mapping[str, _Decode] = {"utf8": "none", "base64": "base64", "hex": "hex"}


class ActionOptions(Struct, frozen=True):
    """What the action does besides the plan.

    summary: whether to write the table into the job summary. host_paths: the `host-paths` input as it came, empty
    outside a container.
    """

    summary: bool = True
    host_paths: str = ""


class SyncInputs(Struct, frozen=True):
    """What the `sync` inputs ask for. config: a path, or the file's text; empty for keylease.yml."""

    command: str
    config: str
    plan: str
    shard: str
    check: bool
    summary: bool
    deadline: float | None


def sync_from_inputs(env: Env) -> SyncInputs | None:
    """What `sync:` and its companions say; None if it is off. Raises :class:`UsageError` naming the input."""
    inputs = _Inputs(env)
    command = inputs.text("sync") or "off"
    companions = inputs.given(_OF_A_SYNC)
    if command not in ("plan", "apply", "off"):
        raise _error("sync", "must be plan, apply or off")
    if command == "off":
        if companions:
            raise _error(companions[0], "goes with `sync: plan` or `sync: apply`", "give `sync`, or remove it")
        return None
    inputs.refuse()
    both = inputs.given(_INSTEAD_OF_A_FILE)
    if both:
        raise _error(both[0], "can't go together with `sync`", "write it into keylease.yml (`config`) and remove it")
    idle = inputs.given(_OF_A_LEASE)
    if idle:
        raise _error(idle[0], "can't go together with `sync`, which gives back its own leases itself", "remove it")
    if command == "plan" and inputs.text("sync-plan"):
        raise _error("sync-plan", "is what `sync: apply` holds to", "remove it, or set `sync: apply`")
    if inputs.text("sync-plan") and inputs.text("sync-shard"):
        raise _error("sync-shard", "can't go together with `sync-plan`: a plan says which part it is of", "remove it")
    if command == "apply" and inputs.text("sync-check"):
        raise _error("sync-check", "goes with `sync: plan`", "remove it")
    return SyncInputs(
        command,
        inputs.text("config") or "",
        inputs.text("sync-plan") or "",
        inputs.text("sync-shard") or "",
        inputs.boolean("sync-check", False),
        inputs.boolean("summary", True),
        inputs.seconds("deadline"),
    )


def sync_plan(wanted: SyncInputs, env: Env) -> "SyncPlan":
    """The plan of the file that the inputs name, or whose text they are. Raises :class:`UsageError`."""
    from keylease.config import FILE_NAME, keyleasefile

    path = "config" if _is_text(wanted.config) else wanted.config or FILE_NAME
    text = wanted.config if _is_text(wanted.config) else Path(path)
    plan, in_file = keyleasefile.parse_sync_settings(text, path, env)
    if wanted.deadline is None:
        return plan
    if "deadline" in in_file and plan.plan.deadline != wanted.deadline:
        raise _error("deadline", f"says something else than settings.deadline in {path}", "remove one of the two")
    return replace(plan, plan=replace(plan.plan, deadline=wanted.deadline))


def _is_text(config: str) -> bool:
    """Whether the `config` input holds the YAML itself, not a path."""
    return "\n" in config or re.match(r"\s*version\s*:", config) is not None


class AuditInputs(Struct, frozen=True):
    """What the `audit` inputs ask for. config: a path; empty for keylease.yml, if it is there.

    command: true, offline or collect. snapshots: to judge, or the one to write. reports: files to write.
    """

    command: str
    path: str
    config: str
    fail_on: "Severity | None"
    snapshots: Sequence[str]
    reports: Sequence[str]
    shard: str
    summary: bool
    deadline: str


def audit_from_inputs(env: Env) -> AuditInputs | None:
    """What `audit:` and its companions say; None if it is off. Raises :class:`UsageError` naming the input."""
    inputs = _Inputs(env)
    command = (inputs.text("audit") or "off").lower()
    companions = inputs.given(_OF_AN_AUDIT)
    if command not in ("true", "offline", "collect", "off", "false"):
        raise _error("audit", "must be true, offline, collect or off")
    if command in ("off", "false"):
        if companions:
            raise _error(companions[0], "goes with `audit: true`", "give `audit`, or remove it")
        return None
    inputs.refuse()
    if inputs.text("sync") not in (None, "off"):
        raise _error("sync", "can't go together with `audit`", "make them two steps")
    both = inputs.given((*_INSTEAD_OF_A_FILE, *_OF_A_SYNC))
    if both:
        raise _error(both[0], "can't go together with `audit`", "write it into keylease.yml (`config`) and remove it")
    idle = inputs.given(_OF_A_LEASE)
    if idle:
        raise _error(idle[0], "can't go together with `audit`, which gives back its own leases itself", "remove it")
    config = inputs.text("config") or ""
    if _is_text(config):
        raise _error("config", "must be a path with `audit`, whose findings name the file", "config: keylease.yml")
    fail_on = _severity(inputs.text("audit-fail-on"))
    snapshots, reports = (inputs.listed(name) for name in ("audit-inventory", "audit-reports"))
    _must_fit(command, snapshots, inputs.given(("audit-fail-on", "audit-reports")), bool(inputs.text("audit-shard")))
    inputs.seconds("deadline")  # told now, by the name that it has here
    return AuditInputs(
        command,
        inputs.text("audit-path") or "",
        config,
        fail_on,
        snapshots,
        reports,
        inputs.text("audit-shard") or "",
        inputs.boolean("summary", True),
        inputs.text("deadline") or "",
    )


def _severity(text: str | None) -> "Severity | None":
    from keylease.audit.model import SEVERITIES

    if text is None:
        return None
    for each in SEVERITIES:
        if each == text:
            return each
    raise _error("audit-fail-on", f"must be one of: {', '.join(SEVERITIES)}")


def _must_fit(command: str, snapshots: Sequence[str], judging: Sequence[str], sharded: bool) -> None:
    if command == "collect":
        if len(snapshots) != 1:
            raise _error("audit-inventory", "must name the one file that `audit: collect` writes", "inventory.json")
        if judging:
            raise _error(judging[0], "can't go together with `audit: collect`, which judges nothing", "remove it")
    elif sharded and (snapshots or command == "offline"):
        raise _error("audit-shard", "is for what is collected, and nothing is", "remove it")


def plan_from_inputs(env: Env, seal: Seal = lambda value, _: Secret(value)) -> tuple[Plan, ActionOptions]:
    """What the action's inputs ask for.

    env: the process environment. seal: registers secret inputs (token, secret-id) with the masker.
    Raises :class:`UsageError` naming the input.
    """
    inputs = _Inputs(env)
    inputs.refuse()
    options = ActionOptions(summary=inputs.boolean("summary", True), host_paths=inputs.text("host-paths") or "")
    allow = frozenset(values.words(inputs.text("allow-names") or ""))
    given: dict[str, Any] = {
        "deadline": inputs.seconds("deadline"),
        "revoke": inputs.boolean_or_none("revoke"),
        "strict_revoke": inputs.boolean_or_none("strict-revoke"),
    }
    path = inputs.text("config")
    if path is not None:
        return _with_file(path, inputs, env, allow, given), options
    plan = _single_provider(inputs, env, seal, allow)
    return replace(plan, **{key: value for key, value in given.items() if value is not None}), options


def plan_from_flags(
    *,
    env: Env,
    url: str | None = None,
    role: str | None = None,
    method: str | None = None,
    mount: str | None = None,
    audience: str | None = None,
    namespace: str | None = None,
    ca_certificate: str | None = None,
    secrets: Sequence[str] | None = None,
    deadline: str | None = None,
) -> Plan:
    """What the command line's flags ask for; None and empty texts are flags that were not given.

    Raises :class:`UsageError` naming the flag.
    """
    settings = {
        "url": url,
        "role": role,
        "method": method,
        "mount": mount,
        "audience": audience,
        "namespace": namespace,
        "ca_certificate": ca_certificate,
    }
    assembler = Assembler()
    assembler.add_provider(_provider({key: value for key, value in settings.items() if value}, env))
    for index, text in enumerate(secrets or (), 1):
        source = "--secret" if len(secrets or ()) == 1 else f"--secret (no. {index})"
        for deliver in lines.parse(text, source, provider=_NAME):
            assembler.add_delivery(deliver)
    plan = assembler.plan()
    return replace(plan, deadline=_seconds(deadline, "--deadline")) if deadline else plan


class _Inputs:
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
            raise _error(first, f"says something else than `{second}`, which means the same", "give one of the two")
        return next(iter(found), None)

    def boolean_or_none(self, name: str) -> bool | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            return values.boolean(text)
        except ValueError:
            raise _error(self.called(name), "must be true or false") from None

    def boolean(self, name: str, default: bool) -> bool:
        value = self.boolean_or_none(name)
        return default if value is None else value

    def seconds(self, name: str) -> float | None:
        text = self.text(name)
        return None if text is None else _seconds(text, name)

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
        return [self.called(name) for name in names if self.text(name) is not None]

    def refuse(self) -> None:
        for name, change in _REFUSED.items():
            if self.text(name) is not None:
                raise _error(name, "is an input of vault-action that Keylease does not have", change, _MOVING)


_MOVING = "moving-from-vault-action"


def _with_file(path: str, inputs: _Inputs, env: Env, allow: frozenset[str], given: Mapping[str, Any]) -> Plan:
    both = inputs.given(_INSTEAD_OF_A_FILE)
    if both:
        listed = ", ".join(f"`{name}`" for name in both)
        raise _error(
            "config",
            f"can't go together with {listed}",
            "write it into the file and remove the input, or remove `config`",
        )
    from keylease.config import keyleasefile

    if _is_text(path):  # the YAML itself, in the workflow
        plan, in_file = keyleasefile.parse(path, "config", env, allow)
        path = "it"
    else:
        plan, in_file = keyleasefile.load(Path(path), env, allow)
    for key, value in given.items():
        if value is None:
            continue
        if key in in_file and getattr(plan, key) != value:
            name = key.replace("_", "-")
            raise _error(name, f"says something else than settings.{key} in {path}", "remove one of the two")
        plan = replace(plan, **{key: value})
    return plan


def _single_provider(inputs: _Inputs, env: Env, seal: Seal, allow: frozenset[str]) -> Plan:
    settings: dict[str, Any] = {
        key: text for name, key in _PROVIDER_TEXTS.items() if (text := inputs.text(name)) is not None
    }
    for name, key in (("token", "token"), ("secret-id", "secret_id")):
        if (text := inputs.text(name)) is not None:
            settings[key] = seal(text, f"input {name}")
    if "\n" in (key_text := settings.get("client_key", "")) or len(key_text) > 255:  # not a path: the key itself
        seal(key_text, "input client-key")
    settings["method"] = _method(inputs, settings)
    verify = _tls_verify(inputs)
    if verify is not None:
        settings["tls_verify"] = verify
    if (timeout := inputs.seconds("timeout")) is not None:
        settings["timeout"] = timeout
    if (retries := inputs.text("retries")) is not None:
        if not re.fullmatch(r"[0-9]{1,2}", retries):
            raise _error("retries", "must be a whole number from 0 to 20")
        settings["retries"] = int(retries)

    assembler = Assembler(allow)
    assembler.add_provider(_provider(settings, env))
    if inputs.boolean("export-token", False):
        assembler.add_use(Use(_NAME, origin=Origin(inputs.called("export-token"))))
    if inputs.boolean("output-token", False):
        names = {"VAULT_TOKEN": "vault_token"}
        assembler.add_use(Use(_NAME, names, env=False, output=True, origin=Origin(inputs.called("output-token"))))
    for deliver in _deliveries(inputs):
        assembler.add_delivery(deliver)
    plan = assembler.plan()
    if not plan.uses and not plan.deliveries:
        raise _error("secrets", "is missing: there is nothing to do", "secrets: secret/data/ci npmToken | NPM_TOKEN ;")
    return plan


def _deliveries(inputs: _Inputs) -> list[Deliver]:
    export_env = inputs.boolean("export-env", True)
    required = not inputs.boolean("ignore-not-found", False)
    encoding = inputs.text("secretEncodingType") or "utf8"
    if encoding not in _ENCODINGS:
        raise _error("secretEncodingType", f"must be one of: {', '.join(_ENCODINGS)}")
    return [
        replace(deliver, env=export_env, required=required, decode=_ENCODINGS[encoding])
        for deliver in lines.parse(inputs.text("secrets") or "", "secrets", provider=_NAME)
    ]


def _method(inputs: _Inputs, settings: Mapping[str, Any]) -> str:
    method = inputs.text("method")
    if method is None:
        # vault-action's default is `token`; here it takes a token to mean that.
        return "token" if "token" in settings else "approle" if "role_id" in settings else "jwt"
    if method.lower() in ("github", "ldap", "userpass"):
        raise _error(
            "method",
            f"{method.lower()} is a method of vault-action that Keylease does not have",
            "use `method: jwt`: the job's own identity token needs no stored credential",
            _MOVING,
        )
    return method.lower()


def _tls_verify(inputs: _Inputs) -> bool | None:
    verify, skip = inputs.boolean_or_none("tls-verify"), inputs.boolean_or_none("tlsSkipVerify")
    if skip is None:
        return verify
    if verify is not None and verify == skip:
        raise _error("tls-verify", "contradicts `tlsSkipVerify`", "give one of the two")
    return not skip


def _provider(settings: Mapping[str, Any], env: Env) -> Provider:
    exchanger = EXCHANGERS.load(_NAME)
    method, known = settings.get("method"), ("jwt", "approle", "kubernetes", "token")
    if method is not None and method not in known:
        near = values.nearest(method, known)
        raise UsageError(
            "method: is not one of the values it can have",
            cause=f"did you mean {near!r}?" if near else "",
            change=f"use one of: {', '.join(known)}",
            docs="configuration",
        )
    return Provider(_NAME, _NAME, exchanger.complete(exchanger.Settings(**settings), env))


def _seconds(text: str, name: str) -> float:
    try:
        found = values.seconds(text)
    except ValueError as error:
        raise _error(name, f"must be {error}") from None
    if found <= 0:
        raise _error(name, "must be more than 0")
    return found


def _error(name: str, problem: str, change: str = "", docs: str = "inputs") -> UsageError:
    return UsageError(f"{name}: {problem}", change=change, docs=docs)
