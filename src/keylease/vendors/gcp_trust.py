"""The narrowest trust for one job at Google Cloud, and why a token was refused.

Provider: https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines
Errors: https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.errors import KeyleaseError, NotFoundError, RefusedError
from keylease.model import IdentityToken, Read, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.gcp_session import SecretName
from keylease.vendors.gcp_settings import VENDOR, GcpSettings
from keylease.vendors.job_claims import GITHUB, platform_of, shown_claims
from keylease.vendors.token_exchange import Refusal, exact_claims, refused

SUBJECT_BYTES = 127
"""https://cloud.google.com/iam/docs/workload-identity-federation (attribute mappings: google.subject)"""

_USER = "roles/iam.workloadIdentityUser"
_SIGNER = "roles/iam.serviceAccountTokenCreator"
"""What signJwt and chains of accounts take. https://cloud.google.com/iam/docs/roles-permissions/iam"""

ACCESSOR = "roles/secretmanager.secretAccessor"
"""https://cloud.google.com/secret-manager/docs/access-control"""


def trust_for(claims: Mapping[str, Any], settings: GcpSettings, reads: Sequence[Read] = ()) -> Trust:
    """Commands: the provider admits this job alone, what it admits may act, and it may read each of `reads`.

    Claims stand in CEL strings in ASCII, escaped, and those in single quotes: no shell sees anything of them.
    """
    s = settings
    number, pool, provider = s.parts
    title = f"Google Cloud workload identity provider {provider}, and its binding"
    bound, notes = exact_claims(claims)
    if not bound:
        return Trust(title, "", notes)
    who = principal(claims, s)
    if not who:
        return Trust(title, "", ["sub holds characters that are not safe in a command: bind it by hand"])
    platform = platform_of(claims)
    mapping = {"google.subject": "assertion.sub"}
    if platform and platform.user in bound:
        user = _claim(platform.user)
        mapping[f"attribute.{_attribute(platform.user)}"] = user
        if len(str(claims.get("sub")).encode("utf-8", "replace")) > SUBJECT_BYTES:
            mapping["google.subject"] = user
            notes.append(
                f"google.subject holds {SUBJECT_BYTES} bytes, and the sub of this job is longer: the id is taken"
            )
    condition = " && ".join(f"{_claim(name)} == {_cel(value)}" for name, value in bound.items())
    commands = [
        command(
            f"gcloud iam workload-identity-pools providers update-oidc {provider}",
            project=number,
            location="global",
            workload_identity_pool=pool,
            attribute_mapping=",".join(f"{name}={value}" for name, value in mapping.items()),
            attribute_condition=condition,
        )
    ]
    first = [*s.delegates, s.service_account][0]
    if first:
        bind = f"gcloud iam service-accounts add-iam-policy-binding {first}"
        commands.append(command(bind, role=_role(s), member=who))
    elif not reads:
        bind = f"gcloud projects add-iam-policy-binding {s.project_id or 'PROJECT_ID'}"
        commands.append(command(bind, role="ROLE", member=who))
        notes.append("ROLE is the narrowest role that the job needs; better on the one bucket or secret it uses")
    commands += [access_command(secret, member(claims, s)) for secret in _secrets(reads, s)]
    notes.append(
        "a provider has one mapping and one condition for all jobs that use it, and the binding is for whatever the "
        "conditions of its pool let in of this repository: give jobs that may do less than this one another pool; for "
        "equal ones, join the two conditions by ||"
    )
    if platform is GITHUB and "sub" in bound:
        notes.append("bound by sub, whose form GitHub changed in July 2026: it must be the one above")
    return Trust(title, "\n".join(commands), notes)


def _role(settings: GcpSettings) -> str:
    return _SIGNER if settings.access_token_subject or settings.delegates else _USER


def principal(claims: Mapping[str, Any], settings: GcpSettings) -> str:
    """The job as a member of IAM policies; empty where a command can't hold it safely.

    https://cloud.google.com/iam/docs/principal-identifiers
    """
    number, pool, _ = settings.parts
    whole = f"iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/{pool}"
    bound, _notes = exact_claims(claims)
    platform = platform_of(claims)
    if platform and platform.user in bound:
        made = f"principalSet://{whole}/attribute.{_attribute(platform.user)}/{bound[platform.user]}"
    else:
        made = f"principal://{whole}/subject/{claims.get('sub')}"
    return made if bound and made.isascii() and made.isprintable() and "##" not in made else ""


def member(claims: Mapping[str, Any], settings: GcpSettings) -> str:
    """Whom a resource's policy must name: the service account, or the job itself; empty like :func:`principal`."""
    account = settings.service_account
    if account:
        return f"serviceAccount:{account}" if "@" in account else "serviceAccount:EMAIL"
    return principal(claims, settings)


def access_command(secret: SecretName, whom: str) -> str:
    """The command that lets `whom` read this one secret."""
    place = {"location": secret.location} if secret.location else {}
    bind = f"gcloud secrets add-iam-policy-binding {secret.secret}"
    return command(bind, project=secret.project, **place, role=ACCESSOR, member=whom or "MEMBER")


def _secrets(reads: Sequence[Read], settings: GcpSettings) -> list[SecretName]:
    found = [SecretName.of(read.path, settings.project_id or "PROJECT_ID") for read in reads]
    return list(dict.fromkeys(secret for secret in found if secret))


def command(start: str, **flags: str) -> str:
    """A command with these flags, a line each, quoted for a shell."""
    given = [f"--{name.replace('_', '-')}={shlex.quote(value)}" for name, value in flags.items()]
    return " \\\n  ".join([start, *given])


def _attribute(claim: str) -> str:
    """A mapped attribute's name: lower case, digits and underscores."""
    return re.sub(r"[^a-z0-9_]", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", claim.rsplit("/", 1)[-1]).lower())[:90]


def _claim(name: str) -> str:
    """A claim in the Common Expression Language."""
    return f"assertion.{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"assertion[{_cel(name)}]"


def _cel(text: str) -> str:
    """A CEL string in ASCII: JSON's would do, but for surrogate pairs, which CEL does not know.

    ``##[`` would be a workflow command in a log, a single quote the end of the shell's.
    """
    made = []
    for c in text:
        if c in "\"\\'#" or not (c.isascii() and c.isprintable()):
            made.append(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}")
        else:
            made.append(c)
    return '"' + "".join(made) + '"'


def login_refused(answer: Answer, settings: GcpSettings, token: IdentityToken) -> KeyleaseError:
    """The error for an exchange that STS refused. `retry_with_new_token` when the identity token had expired."""
    s = settings
    said = Refusal.of(answer)
    summary = f"{VENDOR}: no token from {s.workload_identity_provider}: {str(said) or f'HTTP {answer.status}'}"
    if answer.status == 404:
        return NotFoundError(
            summary,
            cause="`sts_url` is not Google's Security Token Service",
            change="leave `sts_url` out",
            docs="gcp-login",
            detail=answer.detail,
        )
    number, pool, provider = s.parts
    shown = (
        f"gcloud iam workload-identity-pools providers describe {provider} --project={number} --location=global "
        f"--workload-identity-pool={pool}"
    )
    trust: Trust | None = None
    message = said.message.lower()
    if f"{SUBJECT_BYTES} bytes" in message:
        cause = (
            f"google.subject is mapped from a claim of more than {SUBJECT_BYTES} bytes (a long branch or environment)"
        )
        words = "map it from a shorter claim, by the commands below"
        trust = trust_for(token.claims, s)
    elif said.code in ("invalid_target", "invalid_request"):
        cause = "the pool or provider does not exist, is disabled or deleted, or belongs to another project"
        words = f"correct `workload_identity_provider`; what there is: {shown}"
    elif said.code == "invalid_grant" and "audience" in message:
        cause = f"the provider has its own list of audiences, and {s.audience!r} is not in it"
        words = f"set `audience:` to one of allowedAudiences: {shown}"
    elif said.code == "invalid_grant" and "stale" in message:
        # "ID Token issued at 1749625771 is stale to sign-in.": https://github.com/googleapis/google-cloud-go/issues/12440
        cause = "Google takes the identity token as too old: it lives minutes only, or this platform's clock is wrong"
        words = "take the lease early in the job; on a self-hosted platform, check its clock against an NTP server"
    elif said.code == "invalid_grant" and "issuer" in message and "connect" in message:
        # https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation
        cause = "Google can't fetch the issuer's keys: `iss` above and its jwks_uri must be reachable from the internet"
        words = (
            "where they can't be, hand the keys over: gcloud iam workload-identity-pools providers update-oidc "
            f"{provider} --project={number} --location=global --workload-identity-pool={pool} --jwk-json-path=jwks.json"
        )
    elif said.code == "invalid_grant":
        cause = "the provider does not accept the token: its issuer differs, no key fits, or clocks differ"
        words = f"compare `iss` above with issuerUri, letter for letter: {shown}"
    else:
        cause = "the provider's attribute condition does not admit this job"
        words = f"compare the claims above with attributeCondition ({shown}), or admit this job by the commands below"
        trust = trust_for(token.claims, s)
    error = refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="gcp-login")
    error.retry_with_new_token = error.retry_with_new_token or "stale" in message
    return error


def account_refused(answer: Answer, settings: GcpSettings, token: IdentityToken, method: str) -> KeyleaseError:
    """The error for a service account that the job may not act as. https://cloud.google.com/apis/design/errors"""
    s = settings
    said = ": ".join(filter(None, [answer.text("error", "status"), answer.text("error", "message")]))
    summary = f"{VENDOR}: {method} of {s.service_account}: {said or f'HTTP {answer.status}'}"
    detail = answer.detail
    claims = shown_claims(token.claims)
    if answer.status == 400:
        return RefusedError(
            summary,
            cause="`lifetime` is above what the organization allows (1 h by default), or a scope is none",
            change="lifetime: 1h",
            docs="gcp-account",
            detail=detail,
        )
    if "SERVICE_DISABLED" in reasons(answer):
        return RefusedError(
            summary,
            cause="the IAM Credentials API is not enabled in the project",
            change=f"gcloud services enable iamcredentials.googleapis.com --project={s.parts[0]}",
            docs="gcp-account",
            detail=detail,
        )
    trust = trust_for(token.claims, s)
    notes = [f"# {note}" for note in trust.notes]
    chain = "each of `delegates` may act as the next one (roles/iam.serviceAccountTokenCreator)" if s.delegates else ""
    kind = NotFoundError if answer.status == 404 else RefusedError
    words = "grant it by the second command below; the first one replaces the provider's mapping and condition, and is "
    words += "needed only where the provider does not map the attribute that the binding names"
    return kind(
        summary,
        cause=f"the job got in, but has no {_role(s)} on the service account, or there is no such account"
        + (f"; check too that {chain}" if chain else "")
        + "; a new binding takes up to some minutes",
        change="\n".join([words, "", trust.text, *notes]),
        claims=claims,
        docs="gcp-account",
        detail=detail,
    )


def reasons(answer: Answer) -> set[str]:
    """Of its google.rpc.ErrorInfo. https://cloud.google.com/apis/design/errors#error_info"""
    details = answer.at("error", "details")
    found = details if isinstance(details, list) else []
    return {str(each.get("reason")) for each in found if isinstance(each, dict)}
