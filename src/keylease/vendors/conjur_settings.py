"""How a Conjur server is reached and logged in to, as the user writes it."""

import os
import re
from urllib.parse import quote, urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.pem import is_pem_source, pem_text
from keylease.vendors.token_exchange import attempts
from keylease.vendors.token_exchange import audience as checked_audience

VENDOR = "Conjur"
DOCS = "conjur-settings"

# conjurapi/router_url.go of conjur-api-go (ConjurCloudRegexp): the SaaS tenants' hosts, whose API is below /api.
_SAAS = re.compile(r"https://[^/]+(\.secretsmgr|-secretsmanager)\.([a-z-]+-)?cyberark\.cloud")

_ACCOUNT = re.compile(r"[^\s:/]{1,200}")
"""https://github.com/cyberark/conjur-openapi-spec, spec/openapi.yml: AccountName."""

_SERVICE = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class ConjurSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """CyberArk Conjur (Secrets Manager), self-hosted or SaaS, by its JWT authenticator.

    url: the server's address; of a SaaS tenant ``https://TENANT.secretsmgr.cyberark.cloud/api``. Falls back to
        ``CONJUR_APPLIANCE_URL``.
    account: the organisation account. Falls back to ``CONJUR_ACCOUNT``, then to ``conjur`` for a SaaS tenant.
    service_id: the authenticator's, what follows ``authn-jwt/``. Falls back to ``CONJUR_AUTHN_JWT_SERVICE_ID``, then to
        ``CONJUR_SERVICE_ID``.
    host_id: the host to log in as (``host/ci/trainer``), for an authenticator that has no `token-app-property`; one
        that has it finds the host by the token. Falls back to ``CONJUR_AUTHN_JWT_HOST_ID``, then to
        ``CONJUR_AUTHN_LOGIN`` where that is a host.
    audience: the `aud` that the authenticator expects; by default the origin of `url`
        (``https://conjur.example.com``), so that a token meant for this server is good nowhere else.
    ca_certificate: of the server: a path, PEM text, or PEM in base64. Falls back to ``CONJUR_SSL_CERTIFICATE`` (text),
        then to ``CONJUR_CERT_FILE`` (a path).
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    url: str = ""
    account: str = ""
    service_id: str = ""
    host_id: str = ""
    audience: str = ""
    ca_certificate: str = ""
    timeout: float | str = 10.0
    retries: int = 4

    @property
    def login_url(self) -> str:
        """Where the identity token goes, of complete settings.

        https://docs.cyberark.com/conjur-open-source/latest/en/content/developer/conjur_api_jwt_authenticator.htm
        """
        parts = [self.service_id, self.account, *([self.host_id] if self.host_id else [])]
        return f"{self.url}/authn-jwt/{'/'.join(quote(part, safe='') for part in parts)}/authenticate"

    @property
    def is_saas(self) -> bool:
        """Whether the server is a tenant of CyberArk's own."""
        return _SAAS.match(self.url) is not None


def complete(settings: ConjurSettings, env: Env) -> ConjurSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: those of conjur-api-go (conjurapi/config.go, `mergeEnv`), which the CLI, Summon and Terraform read.
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    url = _url(s.url or env.get("CONJUR_APPLIANCE_URL", ""), env)
    account = (s.account or env.get("CONJUR_ACCOUNT", "")).strip() or ("conjur" if _SAAS.match(url) else "")
    if not _ACCOUNT.fullmatch(account) or not account.isprintable():
        what = "has a blank, a slash or a colon in it" if account else "is missing"
        raise _wrong("account", what, "account: the organisation account, as `conjur whoami` shows it")
    return msgspec.structs.replace(
        s,
        url=url,
        account=account,
        service_id=_service(
            s.service_id or env.get("CONJUR_AUTHN_JWT_SERVICE_ID") or env.get("CONJUR_SERVICE_ID") or ""
        ),
        host_id=_host(s.host_id or env.get("CONJUR_AUTHN_JWT_HOST_ID", "") or _host_login(env)),
        audience=checked_audience(VENDOR, s.audience or _origin(url), docs=DOCS),
        ca_certificate=_certificate(s, env),
        timeout=timeout,
        retries=retries,
    )


def _url(text: str, env: Env) -> str:
    if not text.strip():
        raise _wrong("url", "is missing", "url: https://conjur.example.com  (or set CONJUR_APPLIANCE_URL)")
    # Whose server it is, only the user knows: any host will do. The audience is that server's own, so that a token sent
    # to a stranger's host is good for nothing elsewhere.
    try:
        own = urlsplit(text.strip()).hostname or ""
    except ValueError:
        own = ""
    url = checked(text, "url", VENDOR, [own], env)
    return f"{url}/api" if _SAAS.match(url) and not urlsplit(url).path else url


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _service(text: str) -> str:
    service = text.strip().removeprefix("authn-jwt/")
    if not service:
        raise _wrong("service_id", "is missing", "service_id: github  (what follows conjur/authn-jwt/ in the policy)")
    if not _SERVICE.fullmatch(service) or len(service) > 200:
        raise _wrong("service_id", "is no authenticator's id", "service_id: github, of conjur/authn-jwt/github")
    return service


def _host_login(env: Env) -> str:
    # The variable may also name a user, who logs in by an API key and never by a JWT.
    login = env.get("CONJUR_AUTHN_LOGIN", "")
    return login if login.startswith("host/") else ""


def _host(text: str) -> str:
    host = text.strip().removeprefix("host/")
    if not host:
        return ""
    usable = host.isascii() and host.isprintable() and len(host) <= 500 and not re.search(r"[\s:*]", host)
    if not usable or any(part in ("", ".", "..") for part in host.split("/")):
        raise _wrong("host_id", "is no host's id", "host_id: host/ci/trainer")
    return f"host/{host}"


def _certificate(settings: ConjurSettings, env: Env) -> str:
    for source, value in (
        ("ca_certificate", settings.ca_certificate),
        ("CONJUR_SSL_CERTIFICATE", env.get("CONJUR_SSL_CERTIFICATE", "")),
        ("CONJUR_CERT_FILE", env.get("CONJUR_CERT_FILE", "")),
    ):
        if not value:
            continue
        if not is_pem_source(value):
            raise UsageError(
                f"{VENDOR}: `{source}` is no file here, no PEM text and no PEM in base64",
                cause="the file is not there, or not visible inside the container (only the workspace is mounted)",
                change="ca_certificate: path/inside/the/workspace.pem, or the PEM text itself",
                docs="tls",
            )
        return value if pem_text(value) else os.path.abspath(value)
    return ""


def _wrong(key: str, what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: `{key}` {what}", change=change, docs=DOCS)
