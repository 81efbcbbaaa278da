"""The action's inputs and the command line's flags into a plan, for the common case of one Vault and no file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from keylease.config import lines, values
from keylease.config.assemble import Assembler
from keylease.config.given import INSTEAD_OF_A_FILE, MOVING, Inputs, bad, is_text, seconds
from keylease.errors import UsageError
from keylease.model import Deliver, Env, Origin, Plan, Provider, Seal, Use
from keylease.registry import EXCHANGERS
from keylease.secret import Secret

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


def plan_from_inputs(env: Env, seal: Seal = lambda value, _: Secret(value)) -> tuple[Plan, ActionOptions]:
    """What the action's inputs ask for.

    env: the process environment. seal: registers secret inputs (token, secret-id) with the masker.
    Raises :class:`UsageError` naming the input.
    """
    inputs = Inputs(env)
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
    return replace(plan, deadline=seconds(deadline, "--deadline")) if deadline else plan


def _with_file(path: str, inputs: Inputs, env: Env, allow: frozenset[str], given: Mapping[str, Any]) -> Plan:
    both = inputs.given(INSTEAD_OF_A_FILE)
    if both:
        listed = ", ".join(f"`{name}`" for name in both)
        raise bad(
            "config",
            f"can't go together with {listed}",
            "write it into the file and remove the input, or remove `config`",
        )
    from keylease.config import keyleasefile

    if is_text(path):  # the YAML itself, in the workflow
        plan, in_file = keyleasefile.parse(path, "config", env, allow)
        path = "it"
    else:
        plan, in_file = keyleasefile.load(Path(path), env, allow)
    for key, value in given.items():
        if value is None:
            continue
        if key in in_file and getattr(plan, key) != value:
            name = key.replace("_", "-")
            raise bad(name, f"says something else than settings.{key} in {path}", "remove one of the two")
        plan = replace(plan, **{key: value})
    return plan


def _single_provider(inputs: Inputs, env: Env, seal: Seal, allow: frozenset[str]) -> Plan:
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
            raise bad("retries", "must be a whole number from 0 to 20")
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
        raise bad("secrets", "is missing: there is nothing to do", "secrets: secret/data/ci npmToken | NPM_TOKEN ;")
    return plan


def _deliveries(inputs: Inputs) -> list[Deliver]:
    export_env = inputs.boolean("export-env", True)
    required = not inputs.boolean("ignore-not-found", False)
    encoding = inputs.text("secretEncodingType") or "utf8"
    if encoding not in _ENCODINGS:
        raise bad("secretEncodingType", f"must be one of: {', '.join(_ENCODINGS)}")
    return [
        replace(deliver, env=export_env, required=required, decode=_ENCODINGS[encoding])
        for deliver in lines.parse(inputs.text("secrets") or "", "secrets", provider=_NAME)
    ]


def _method(inputs: Inputs, settings: Mapping[str, Any]) -> str:
    method = inputs.text("method")
    if method is None:
        # vault-action's default is `token`; here it takes a token to mean that.
        return "token" if "token" in settings else "approle" if "role_id" in settings else "jwt"
    if method.lower() in ("github", "ldap", "userpass"):
        raise bad(
            "method",
            f"{method.lower()} is a method of vault-action that Keylease does not have",
            "use `method: jwt`: the job's own identity token needs no stored credential",
            MOVING,
        )
    return method.lower()


def _tls_verify(inputs: Inputs) -> bool | None:
    verify, skip = inputs.boolean_or_none("tls-verify"), inputs.boolean_or_none("tlsSkipVerify")
    if skip is None:
        return verify
    if verify is not None and verify == skip:
        raise bad("tls-verify", "contradicts `tlsSkipVerify`", "give one of the two")
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
