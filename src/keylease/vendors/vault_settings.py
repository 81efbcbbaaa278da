"""How a Vault or OpenBao server is reached and logged in to, as the user writes it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.pem import is_pem_source

Method = Literal["jwt", "approle", "kubernetes", "token"]

METHODS: tuple[Method, ...] = ("jwt", "approle", "kubernetes", "token")

KUBERNETES_TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
"""Where Kubernetes mounts a pod's service account token."""

_Sealed = Annotated[Secret, msgspec.Meta(extra_json_schema={"not": {}, "description": "never written in a file"})]

_TEXT_FIELDS = ("url", "role", "mount", "namespace", "audience", "role_id")


class VaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Vault or OpenBao server and how to log in there.

    url: the server's address. Falls back to ``BAO_ADDR``, ``VAULT_ADDR``.
    role: of the auth method; empty takes the mount's `default_role` (jwt only).
    method: how to log in; `jwt` with the job's identity token.
    mount: of the auth method; by default it is called as the method.
    audience: the `aud` of the identity token; by default the origin of `url` (``https://vault.example.com``), so
        that a token meant for this server is good nowhere else.
    namespace: falls back to ``BAO_NAMESPACE``, ``VAULT_NAMESPACE``.
    ca_certificate, client_certificate, client_key: a path, PEM text, or PEM in base64. Fall back to
        ``BAO_CACERT``/``VAULT_CACERT`` and so on. A key given as text has to come from a variable.
    tls_verify: False takes any certificate, with a warning each time. ``VAULT_SKIP_VERIFY`` is not honoured.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    token, token_env: for method `token`: the token, or the variable that holds it (``BAO_TOKEN``/``VAULT_TOKEN`` by
        default). Never ``~/.vault-token``.
    role_id, secret_id, secret_id_env, secret_id_file: for method `approle`.
    kubernetes_token_file: for method `kubernetes`; read anew at each login, since Kubernetes rotates it.
    unwrap: what `token` or `secret_id` holds is a response-wrapping token with the real one inside.
    wrap_ttl: hand it over response-wrapped, to be unwrapped once within this time.
    """

    url: str = ""
    role: str = ""
    mount: str = ""
    method: Method = "jwt"
    audience: str | None = None
    namespace: str | None = None
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    tls_verify: bool = True
    timeout: float | str = 10.0
    retries: int = 4
    token: _Sealed | None = None
    token_env: str | None = None
    role_id: str | None = None
    secret_id: _Sealed | None = None
    secret_id_env: str | None = None
    secret_id_file: str | None = None
    kubernetes_token_file: str | None = None
    unwrap: bool = False
    wrap_ttl: str | None = None

    def __repr__(self) -> str:
        # A key may stand here as text: never the generated repr.
        return f"<VaultSettings {self.url} {self.method} {self.mount} {self.role}>"


def complete(settings: VaultSettings, env: Env) -> VaultSettings:
    """The settings with fallbacks from `env` filled in and everything checked.

    Raises :class:`UsageError` naming the key that is missing or wrong. Variables: https://openbao.org/docs/commands/
    """
    for name in _TEXT_FIELDS:
        value = getattr(settings, name)
        if isinstance(value, str) and not value.isprintable():
            raise _wrong(name, "holds control characters", "")
    url = _url(settings.url or _variable(env, "ADDR") or "")
    return msgspec.structs.replace(
        settings,
        url=url,
        mount=_mount(settings.mount or settings.method),
        role=_role(settings),
        audience=settings.audience or origin(url),
        namespace=(settings.namespace or _variable(env, "NAMESPACE") or "").strip("/ ") or None,
        **_certificates(settings, env),
        timeout=_timeout(settings.timeout),
        retries=_retries(settings.retries),
        wrap_ttl=_wrap_ttl(settings.wrap_ttl),
        **_credentials(settings, env),
    )


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in lower case and without a default port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port and parts.port != default else "")


def is_cleartext(url: str) -> bool:
    """Whether what is sent to `url` can be read on the way: plain http to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not re.fullmatch(r"localhost|127(\.\d+){3}|::1", parts.hostname or "")


def skips_verification(env: Env) -> bool:
    """Whether the environment asks for TLS without verification, as the vendors' CLIs would obey."""
    value = _variable(env, "SKIP_VERIFY") or ""
    return value.strip().lower() in ("1", "t", "true")  # as strconv.ParseBool of the CLIs


def seconds(text: float | str) -> float | None:
    """Seconds of a number or a duration such as ``10s``, ``500ms``, ``1m30s``, ``1h``; None if it is none."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", str(text).strip())
    if found and any(found.groups()):
        hours, minutes, secs, millis = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + secs + millis / 1000
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", str(text).strip()) else None


def _variable(env: Env, name: str) -> str | None:
    # OpenBao's CLI looks at its own name first, then at Vault's.
    return env.get(f"BAO_{name}") or env.get(f"VAULT_{name}") or None


def _wrong(key: str, what: str, change: str, cause: str = "", docs: str = "vault-settings") -> UsageError:
    return UsageError(f"Vault: `{key}` {what}", cause=cause, change=change, docs=docs)


def _url(text: str) -> str:
    text = text.strip().rstrip("/")
    if not text:
        raise _wrong("url", "is missing", "url: https://vault.example.com  (or set VAULT_ADDR or BAO_ADDR)")
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise _wrong(
            "url", "is not an http(s) address", "url: https://vault.example.com:8200, with the scheme in front"
        )
    if parts.username is not None or parts.password is not None:
        raise _wrong("url", "holds a user or a password", "url: https://vault.example.com, and log in by `method:`")
    if parts.query or parts.fragment:
        raise _wrong("url", "has a query or a fragment", "url: https://vault.example.com")
    if parts.path.endswith("/v1") or not text.isprintable() or " " in text:
        raise _wrong("url", "is the API's path or holds blanks", "url: https://vault.example.com, without /v1")
    return text


def _mount(text: str) -> str:
    mount = text.strip().strip("/")
    if not mount or any(part in ("", ".", "..") for part in mount.split("/")):
        raise _wrong("mount", f"can't be {text!r}", "mount: jwt (the path shown by `bao auth list`, without auth/)")
    return mount


def _role(settings: VaultSettings) -> str:
    if not settings.role and settings.method == "kubernetes":
        raise _wrong("role", "is missing", "role: NAME, a role of the kubernetes auth method")
    return settings.role.strip()


def _certificates(settings: VaultSettings, env: Env) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for key, variable in (
        ("ca_certificate", "CACERT"),
        ("client_certificate", "CLIENT_CERT"),
        ("client_key", "CLIENT_KEY"),
    ):
        own = getattr(settings, key)
        value = found[key] = own or _variable(env, variable)
        if value and not is_pem_source(value):
            source = key if own else f"VAULT_{variable}"
            raise _wrong(
                source,
                "is no file here, no PEM text and no PEM in base64",
                f"{key}: path/inside/the/workspace.pem, or the PEM text itself",
                "the file is not there, or not visible inside the container (only the workspace is mounted)",
                docs="tls",
            )
    if found["client_key"] and not found["client_certificate"]:
        raise _wrong("client_certificate", "is missing, but there is a client_key", "client_certificate: …")
    return found


def _timeout(value: float | str) -> float:
    found = seconds(value)
    if found is None or not 0 < found <= 3600:
        raise _wrong("timeout", "is no duration between 0 and 1 h", "timeout: 10s")
    return found


def _retries(value: int) -> int:
    if not 0 <= value <= 20:
        raise _wrong("retries", "is not between 0 and 20", "retries: 4")
    return value


def _wrap_ttl(value: str | None) -> str | None:
    found = seconds(value) if value else None
    if value and not found:
        raise _wrong("wrap_ttl", "is no duration", "wrap_ttl: 5m")
    return f"{max(1, round(found))}s" if found else None


def _credentials(settings: VaultSettings, env: Env) -> Mapping[str, Any]:
    method = settings.method
    if method == "token" and not settings.token:
        name = settings.token_env or next((n for n in ("BAO_TOKEN", "VAULT_TOKEN") if env.get(n)), "VAULT_TOKEN")
        return {"token_env": name}
    if method == "approle":
        given = [n for n in ("secret_id", "secret_id_env", "secret_id_file") if getattr(settings, n)]
        if len(given) > 1:
            raise _wrong(given[1], f"is given as well as {given[0]}", "give one of them")
    if method == "kubernetes" and not settings.kubernetes_token_file:
        return {"kubernetes_token_file": KUBERNETES_TOKEN_FILE}
    return {}
