"""The narrowest Conjur policy for one job, and why a login was refused.

Claims are written by whoever may name a branch: they stand as YAML's double-quoted scalars in ASCII inside a quoted
heredoc, so that no quote, line break or ``$(…)`` of theirs reaches YAML or a shell.

https://docs.cyberark.com/conjur-enterprise/latest/en/Content/Operations/Services/cjr-authn-jwt-guidelines.htm
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.errors import KeyleaseError, NotFoundError, RefusedError
from keylease.model import IdentityToken, Read, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.conjur_settings import VENDOR, ConjurSettings
from keylease.vendors.job_claims import GITHUB, GITLAB, bindable, heredoc, platform_of
from keylease.vendors.token_exchange import audience_of, exact_claims, refused

_JWKS = {GITHUB.name: "/.well-known/jwks", GITLAB.name: "/oauth/discovery/keys"}
"""`jwks_uri` of the platforms' /.well-known/openid-configuration, below the issuer."""

LOAD = "conjur policy load -b root -f -"


def trust_for(claims: Mapping[str, Any], settings: ConjurSettings, reads: Sequence[Read] = ()) -> Trust:
    """Commands: the authenticator for this issuer, and a host for this very job that may read what it reads."""
    s = settings
    bound, notes = exact_claims(claims)
    issuer = claims.get("iss")
    title = f"Conjur policy for {s.host_id or 'a host'} at authn-jwt/{s.service_id}"
    # The issuer stands in a command, not in YAML: no more than what an address may hold.
    usable = bindable(issuer) and str(issuer).isascii() and str(issuer).isprintable()
    if not bound or not usable or not all(_is_text(each) for each in bound.values()):
        return Trust(title, "", notes or ["the token has no claim that could be bound safely"])
    own = f"conjur/authn-jwt/{s.service_id}"
    aliases = _aliases(bound)
    # With the host in the URL each job has its own; without, the server finds one host per repository by the token.
    by_claim = "" if s.host_id else _naming_claim(claims, bound)
    host = s.host_id.removeprefix("host/") or f"ci/{bound[by_claim]}"
    variables = _variables(claims, s, bound, aliases, by_claim)
    text = "\n".join(
        [
            "# Once per issuer. Its variables replace what is there: with other hosts at work, compare first.",
            heredoc(LOAD, _authenticator(own, variables)),
            *(f"conjur variable set -i {own}/{name} -v {shlex.quote(value)}" for name, value in variables.items()),
            f"conjur authenticator enable -i authn-jwt/{s.service_id}",
            "# For this job.",
            heredoc(LOAD, _host(own, host, s.service_id, {aliases.get(n, n): v for n, v in bound.items()}, reads)),
        ]
    )
    notes += _notes(s, by_claim, reads)
    if "jwks-uri" in variables and platform_name(claims) not in _JWKS:
        notes.append("JWKS_URI: take `jwks_uri` of the issuer's /.well-known/openid-configuration")
    if audience_of(claims, s.audience) != s.audience:
        notes.append("the policy expects the aud of the token that is there: configure the same as audience")
    return Trust(title, text, notes)


def platform_name(claims: Mapping[str, Any]) -> str:
    """The CI platform's name, or nothing."""
    platform = platform_of(claims)
    return platform.name if platform else ""


def _is_text(value: str) -> bool:
    # Half a surrogate pair is no character: YAML can't have it.
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)


def _aliases(bound: Mapping[str, str]) -> dict[str, str]:
    # An annotation's name can't have a slash (get_restriction_from_annotation.rb); claims of CircleCI's do.
    return {name: name.rpartition("/")[2] for name in bound if "/" in name}


def _naming_claim(claims: Mapping[str, Any], bound: Mapping[str, str]) -> str:
    platform = platform_of(claims)
    return platform.user if platform and platform.user in bound else next(iter(bound))


def _variables(
    claims: Mapping[str, Any],
    settings: ConjurSettings,
    bound: Mapping[str, str],
    aliases: Mapping[str, str],
    by_claim: str,
) -> dict[str, str]:
    platform = platform_of(claims)
    issuer = str(claims["iss"])
    keys = _JWKS.get(platform.name) if platform else None
    enforced = [name for name in (platform.ids if platform else ()) if name in bound] or list(bound)
    found = {
        "jwks-uri": issuer.rstrip("/") + keys if keys else "JWKS_URI",
        "issuer": issuer,
        "audience": audience_of(claims, settings.audience),
        # No host gets in whose annotations leave these out.
        "enforced-claims": ",".join(enforced),
    }
    if aliases:
        found["claim-aliases"] = ",".join(f"{alias}:{name}" for name, alias in aliases.items())
    if by_claim:
        found |= {"token-app-property": by_claim, "identity-path": "ci"}
    return found


def _authenticator(own: str, variables: Mapping[str, str]) -> str:
    return "\n".join(
        [
            "- !policy",
            f"  id: {own}",
            "  body:",
            "    - !webservice",
            *(f"    - !variable {name}" for name in variables),
            "    - !group apps",
            "    - !permit",
            "      role: !group apps",
            "      privilege: [ read, authenticate ]",
            "      resource: !webservice",
        ]
    )


def _host(own: str, host: str, service: str, bound: Mapping[str, str], reads: Sequence[Read]) -> str:
    return "\n".join(
        [
            "- !host",
            f"  id: {yaml_text(host)}",
            "  annotations:",
            *(f"    {yaml_text(f'authn-jwt/{service}/{name}')}: {yaml_text(value)}" for name, value in bound.items()),
            "- !grant",
            f"  role: !group {own}/apps",
            f"  member: !host {yaml_text(host)}",
            *permits(host, [read.path for read in reads]),
        ]
    )


def permits(host: str, paths: Sequence[str]) -> list[str]:
    """Policy lines that let a host (without ``host/``) read exactly these variables."""
    lines = []
    for path in dict.fromkeys(paths):
        lines += [
            "- !permit",
            f"  role: !host {yaml_text(host)}",
            "  privilege: [ read, execute ]",
            f"  resource: !variable {yaml_text(path)}",
        ]
    return lines


def yaml_text(value: str) -> str:
    """A double-quoted scalar in ASCII (YAML 1.2, §7.3.1): no value can end it or make a line of its own.

    ``##[`` would be a workflow command in a log, and be broken up there: escaped, it stays what it is.
    """
    made = []
    for char in value:
        code = ord(char)
        if char in '"\\':
            made.append("\\" + char)
        elif 0x20 <= code < 0x7F:
            made.append(char)
        else:
            made.append(f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")
    return '"' + "".join(made).replace("##", "#\\x23") + '"'


def _notes(settings: ConjurSettings, by_claim: str, reads: Sequence[Read]) -> list[str]:
    notes = []
    if by_claim:
        notes.append(
            f"the server finds the host by `{by_claim}`: one host per repository; for one per job set host_id, and let "
            "the authenticator have no token-app-property"
        )
    else:
        notes.append("with host_id the authenticator must have no token-app-property: with both it refuses every login")
    if not reads:
        notes.append("what the job reads is not known here: add a !permit [ read, execute ] per variable")
    if settings.is_saas:
        notes.append(
            "SaaS: make the authenticator in the console; load the rest on branches data and conjur/authn-jwt instead "
            "of root, with ids relative to them"
        )
    return notes


# Refusals. errors.rb of cyberark/conjur (app/domain) has the codes, authenticate_controller.rb says which status.

_EXPIRED = "CONJ00016E"
"""The one reason that the answer itself tells."""


def login_refused(
    answer: Answer, settings: ConjurSettings, token: IdentityToken, reads: Sequence[Read] = (), *, is_empty: bool
) -> KeyleaseError:
    """The error for a refused login. is_empty: whether the answer has no body, as Conjur's refusals mostly have."""
    s = settings
    said = answer.text("error", "message")
    who = s.host_id or "the token's host"
    summary = f"{VENDOR}: authn-jwt/{s.service_id} refused {who}: {said or f'HTTP {answer.status}'}"
    if answer.status == 404 or not (answer.is_json or is_empty):
        return _elsewhere(answer, summary)
    trust = trust_for(token.claims, s, reads)
    if said.startswith(_EXPIRED):
        error = refused(
            summary,
            answer,
            token,
            cause="the server takes the identity token for expired: it was fetched too early, or a clock is wrong",
            words="take the lease early in the job; set the clocks of the server and of this runner by NTP",
            trust=None,
            docs="conjur-login",
        )
        error.retry_with_new_token = True
        return error
    if answer.status == 403:
        cause = f"the host is known and its claims fit, but it may not `authenticate` at authn-jwt/{s.service_id}"
        words = f"grant it conjur/authn-jwt/{s.service_id}/apps (or whatever that group is called there), as below"
    else:
        cause = (
            "Conjur tells its log alone: no such host, annotations that do not fit the claims below, another issuer or "
            "audience, keys it can't fetch, an authenticator that is not enabled, or "
            + (
                "one that has a token-app-property besides `host_id`"
                if s.host_id
                else "one without token-app-property, which needs `host_id`"
            )
        )
        words = "look for the CONJ code in the server's log (the page below explains each), or load this policy"
    return refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="conjur-login")


def _elsewhere(answer: Answer, summary: str) -> KeyleaseError:
    if answer.status == 404:
        return NotFoundError(
            summary,
            cause="`url` has no such API: a path is missing or too much (SaaS: /api), or it is no Conjur server",
            change="url: as CONJUR_APPLIANCE_URL is for the `conjur` CLI",
            docs="conjur-login",
            detail=answer.detail,
        )
    return RefusedError(
        summary,
        cause="the answer is not Conjur's: a proxy or firewall in front of it refuses this runner",
        change="let this runner through, or correct `url`",
        docs="garbage",
        detail=answer.detail,
    )
