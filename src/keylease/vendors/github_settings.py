"""How GitHub is reached and what a sync writes to there, as the user writes it."""

import functools
import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.http import HttpSettings
from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.endpoints import checked as checked_address
from keylease.vendors.pem import is_pem_source

PUBLIC = "https://api.github.com"

_Sealed = Annotated[Secret, msgspec.Meta(extra_json_schema={"not": {}, "description": "never written in a file"})]

Kind = Literal["secret", "variable", "dependabot", "codespaces"]
Visibility = Literal["all", "private", "selected"]

KINDS: dict[str, tuple[Kind, ...]] = {
    "repository": ("secret", "variable", "dependabot", "codespaces"),
    "environment": ("secret", "variable"),
    "organization": ("secret", "variable", "dependabot", "codespaces"),
}
"""Which kinds of store a place of a level has."""

_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KEYS = ("environment", "kind", "visibility", "host")


class GitHubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """GitHub, or a GitHub Enterprise Server, and what it is asked with.

    url: of the API: ``https://github.example.com/api/v3``. Falls back to ``GITHUB_API_URL``.
    token, token_env: a fine-grained token, or the variable that holds it.
    app_id, installation_id: of a GitHub App; without an installation it is looked up at each account.
    private_key, private_key_env, private_key_file: of the App, in PEM.
    ca_certificate: what the server's certificate is checked with: a path, PEM text, or PEM in base64.
    writes_per_minute: GitHub asks for no more than 80 that create content. points_per_minute: a read is 1, a write 5;
        GitHub asks for no more than 900. 0: no limit (an Enterprise Server without rate limits).
    cache: a file that keeps GitHub's answers from run to run, so that what has not changed costs nothing.
    timeout: of one attempt, in seconds. retries: attempts after the first one.
    """

    url: str = ""
    token: _Sealed | None = None
    token_env: str | None = None
    app_id: str | int | None = None
    installation_id: int | None = None
    private_key: _Sealed | None = None
    private_key_env: str | None = None
    private_key_file: str | None = None
    ca_certificate: str | None = None
    writes_per_minute: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 80
    points_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 900
    cache: str = ""
    timeout: float = 20.0
    retries: int = 4

    @property
    def http(self) -> HttpSettings:
        """For :mod:`keylease.http`."""
        return HttpSettings(timeout=self.timeout, retries=self.retries)

    @property
    def host(self) -> str:
        """Of an Enterprise Server; empty for github.com."""
        return "" if self.url == PUBLIC else urlsplit(self.url).netloc.lower()


class Select(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Repositories of an organisation; archived ones are never meant.

    names: globs, any of which matches. topics: all of them. properties: custom properties, all with these values.
    """

    names: str | tuple[str, ...] = ()
    topics: str | tuple[str, ...] = ()
    properties: dict[str, str] = {}


class GitHubTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a sync's values go.

    repository: ``acme/trainer``. organization: ``acme``, for what the organisation itself holds; with `select`, for its
        repositories. select: which of them; archived ones are never meant.
    environment: of the repository, or of each that is selected. kind: the store that the values go to.
    visibility: which repositories see an organisation's values. repositories: those that `selected` means; without
        it, those that are selected already stay so. host: of an Enterprise Server; only checked.
    """

    repository: str = ""
    organization: str = ""
    environment: str = ""
    kind: Kind = "secret"
    visibility: Visibility | None = None
    repositories: tuple[str, ...] | None = None
    select: Select | None = None
    host: str = ""

    @property
    def level(self) -> str:
        """organization, repository or environment: which kind of place it means."""
        if self.organization and self.select is None:
            return "organization"
        return "environment" if self.environment else "repository"

    @property
    def owner(self) -> str:
        """The account."""
        return self.organization or self.repository.partition("/")[0]


def complete(settings: GitHubSettings, env: Env) -> GitHubSettings:
    """Checked, with the environment's fallbacks. Raises :class:`UsageError` naming the key."""
    own = env.get("GITHUB_API_URL", "")
    # The platform itself says where its API is.
    known = ("github.com", "ghe.com", *filter(None, [urlsplit(own).hostname]))
    url = checked_address(settings.url or own or PUBLIC, "url", "GitHub", known, env)
    if settings.retries < 0 or settings.timeout <= 0:
        raise _wrong("`timeout` must be more than 0, `retries` at least 0", "")
    if settings.ca_certificate and not is_pem_source(settings.ca_certificate):
        raise _wrong("`ca_certificate` is neither PEM nor the path of a file that is there", "")
    ways = {"token": settings.token, "token_env": settings.token_env, "app_id": settings.app_id}
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) != 1:
        what = " and ".join(f"`{name}`" for name in chosen)
        raise _wrong(
            f"{what} are two credentials" if chosen else "there is no credential",
            "give one: `token_env: SYNC_TOKEN`, `token: {secret: vault://github/token#token}`, or `app_id` with "
            "`private_key_env`",
            docs="github-credential",
        )
    if chosen == ["token_env"]:
        _token_variable(str(settings.token_env), env)
    if chosen == ["app_id"]:
        _app(settings, env)
    elif settings.installation_id is not None:
        raise _wrong("`installation_id` belongs to a GitHub App", "give `app_id` too", docs="github-app")
    return msgspec.structs.replace(settings, url=url)


def _token_variable(name: str, env: Env) -> None:
    value = env.get(name, "").strip()
    if not value:
        raise _wrong(
            f"`token_env`: the variable {name} is not set, or empty",
            f"hand it to the step:\n\nenv:\n  {name}: ${{{{ secrets.{name} }}}}",
            docs="github-credential",
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise _wrong(f"`token_env`: what {name} holds is no token", "it is one word", docs="github-credential")
    if value == env.get("GITHUB_TOKEN", "").strip() and value.startswith("ghs_") and env.get("GITHUB_ACTIONS"):
        raise _wrong(
            f"`token_env`: {name} holds the job's own GITHUB_TOKEN, which can't write secrets or variables",
            "take a GitHub App (`app_id`, `private_key_env`), a fine-grained token, or one leased from Vault",
            cause="no entry of `permissions:` gives it that",
            docs="github-credential",
        )


def _app(settings: GitHubSettings, env: Env) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", str(settings.app_id)):
        raise _wrong("`app_id` is no App's id", "a number, or the client id: App settings → About", docs="github-app")
    keys = ("private_key", "private_key_env", "private_key_file")
    chosen = [name for name in keys if getattr(settings, name) is not None]
    if len(chosen) != 1:
        raise _wrong(
            "the App needs its private key, given in one way",
            "`private_key_env: SYNC_APP_KEY`, `private_key_file: key.pem` or `private_key: {secret: vault://…#key}`",
            docs="github-app",
        )
    if settings.private_key_env is not None and not env.get(settings.private_key_env, "").strip():
        raise _wrong(
            f"`private_key_env`: the variable {settings.private_key_env} is not set, or empty",
            f"hand it to the step:\n\nenv:\n  {settings.private_key_env}: "
            f"${{{{ secrets.{settings.private_key_env} }}}}",
            docs="github-app",
        )


def checked(to: GitHubTo) -> GitHubTo:
    """`to`, in canonical form. Raises :class:`UsageError` naming the key."""
    if bool(to.repository) == bool(to.organization):
        raise _to("needs `repository: owner/name` or `organization: acme`, one of them")
    owner, _, name = to.repository.partition("/")
    if to.repository and not (_OWNER.fullmatch(owner) and _is_repository(name)):
        raise _to(f"`repository`: {to.repository!a} is not like acme/trainer")
    if to.organization and not _OWNER.fullmatch(to.organization):
        raise _to(f"`organization`: {to.organization!a} can't be an account's name")
    if to.select is not None and not to.organization:
        raise _to("`select` chooses among an organisation's repositories", "give `organization` too")
    level = to.level
    if to.environment and level == "organization":
        raise _to("an organisation has no environments", "give a repository, or `select`")
    # Clients take `.` and `..` out of a path, quoted or not: the request would be about something else.
    named = to.environment.isprintable() and len(to.environment) <= 255 and to.environment not in (".", "..")
    if to.environment and not named:
        raise _to("`environment` can't be one's name")
    if to.kind not in KINDS[level]:
        raise _to(f"an {level} has no {to.kind} values", f"use one of: {', '.join(KINDS[level])}")
    if level != "organization" and (to.visibility or to.repositories is not None):
        raise _to("`visibility` and `repositories` belong to an organisation's own values")
    if to.repositories is not None and to.visibility not in (None, "selected"):
        raise _to("`repositories` are those of `visibility: selected`")
    names = None
    if to.repositories is not None:
        own = f"{to.organization}/".lower()
        names = tuple(sorted({each.lower().removeprefix(own) for each in to.repositories}))
        for each in names:
            if not _is_repository(each):
                raise _to(f"`repositories`: {each!a} is no name of a repository of {to.organization}")
    return msgspec.structs.replace(
        to,
        repository=to.repository.lower(),
        organization=to.organization.lower(),
        environment=to.environment.lower(),
        visibility="selected" if names is not None else to.visibility,
        repositories=names,
        host=to.host.lower(),
    )


@functools.lru_cache(maxsize=256)  # a place is looked at once per value and request
def parse(address: str) -> GitHubTo:
    """From ``github://acme/trainer?environment=prod&kind=variable`` or ``github://acme?visibility=private``."""
    scheme, found, rest = address.partition("://")
    path, _, query = rest.partition("?")
    if scheme != "github" or not found or "#" in address or not address.isprintable():
        raise _to(f"{address!a} is not like github://acme/trainer?environment=prod")
    given: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=10)
    except ValueError:
        raise _to(f"{address!a}: what follows the ? is not like environment=prod&kind=secret") from None
    for name, value in pairs:
        if name not in _KEYS or name in given or not value:
            raise _to(f"{address!a}: {name!a} can't be said here, is empty or said twice", f"use {', '.join(_KEYS)}")
        given[name] = value
    parts = unquote(path).split("/")
    if len(parts) > 2:
        raise _to(f"{address!a} has too many parts", "github://OWNER/REPOSITORY or github://ORGANIZATION")
    given["repository" if len(parts) == 2 else "organization"] = "/".join(parts)
    try:
        to = msgspec.convert(given, GitHubTo)
    except msgspec.ValidationError:
        raise _to(
            f"{address!a}: `kind` or `visibility` is none that there is",
            "kind: secret, variable, dependabot or codespaces; visibility: all, private or selected",
        ) from None
    return checked(to)


def address_of(to: GitHubTo, repository: str = "") -> str:
    """The canonical address of the place that `to` names, or, of a selector, of one repository."""
    path = (repository or to.repository or to.organization).lower()
    query = [f"environment={quote(to.environment, safe='')}"] if to.environment else []
    query += [f"host={to.host}"] if to.host else []
    return f"github://{path}" + (f"?{'&'.join(query)}" if query else "")


def many(text: str | tuple[str, ...]) -> tuple[str, ...]:
    """One or several."""
    return (text,) if isinstance(text, str) else text


def _is_repository(name: str) -> bool:
    return bool(_REPOSITORY.fullmatch(name)) and name not in (".", "..")


def _to(what: str, change: str = "") -> UsageError:
    return UsageError(f"GitHub: {what}", change=change, docs="github-to")


def _wrong(what: str, change: str, cause: str = "", docs: str = "github-settings") -> UsageError:
    return UsageError(f"GitHub: {what}", cause=cause, change=change, docs=docs)
