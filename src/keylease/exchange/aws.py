"""The job's identity token for sessions of AWS roles (``AssumeRoleWithWebIdentity``).

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
"""

import datetime as dt
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import HttpSettings, Session
from keylease.model import Env, IdentityToken, Lease, LeaseFile, Revocation, Trust, fingerprint
from keylease.parallel import parallel
from keylease.secret import Secret
from keylease.vendors.answers import server_trouble
from keylease.vendors.aws_answers import Credentials, answer_of, is_transient, issued, login_refused
from keylease.vendors.aws_settings import VENDOR, AwsProfile, AwsSettings, complete
from keylease.vendors.aws_trust import trust_for
from keylease.vendors.job_claims import platform_of

MAX_BODY = 256 * 1024
"""Bytes of an answer: one session's credentials."""

MAX_TOKEN = 20000
"""Characters of the identity token (`WebIdentityToken`)."""

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class AwsExchanger(Exchanger):
    """One form POST a role, unsigned; a role's keys become variables, those of profiles a credentials file."""

    kind = "aws"
    Settings = AwsSettings

    settings: AwsSettings

    @classmethod
    def complete(cls, settings: AwsSettings, env: Env) -> AwsSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. All roles or none; there is nothing to give back, for sessions can't be revoked."""
        if token is None:
            raise UsageError(f"{VENDOR}: an identity token is needed", docs="aws-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        if len(token.jwt.reveal_bytes()) > MAX_TOKEN:
            raise UsageError(
                f"{VENDOR}: the identity token is longer than the {MAX_TOKEN} characters that STS takes",
                change="have the platform put fewer claims into it",
                docs="aws-login",
            )
        roles: dict[str, AwsProfile] = {}
        if s.role_arn:
            own = AwsProfile(
                role_arn=s.role_arn,
                duration=s.duration,
                session_policy=s.session_policy,
                managed_policies=s.managed_policies,
            )
            roles[""] = own
        roles |= s.profiles
        http = self.context.http.session(
            VENDOR,
            HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY, transient=is_transient),
            connections=min(8, len(roles)),
        )
        found = self._assume_all(http, roles, token)
        first = next(iter(found.values()))
        variables = dict(zip(_KEYS, _values(found.pop("")), strict=True)) if "" in found else {}
        plain = {"AWS_REGION": s.region, "AWS_DEFAULT_REGION": s.region}
        if found and not variables:
            plain["AWS_PROFILE"] = next(iter(found))
        ends = [first.expires_at, *(each.expires_at for each in found.values())]
        return Lease(
            self.name,
            self.kind,
            variables,
            session=None,
            account=first.arn or next(iter(roles.values())).role_arn,
            expires_at=min(ends),
            fingerprint=fingerprint(first.session_token),
            plain=plain,
            files=[LeaseFile("AWS_SHARED_CREDENTIALS_FILE", "credentials", _credentials_file(found))] if found else [],
            warnings=_warnings(self.context.env, variables),
        )

    def _assume_all(
        self, http: Session, roles: Mapping[str, AwsProfile], token: IdentityToken
    ) -> dict[str, Credentials]:
        def one(name: str) -> Credentials:
            return self._assume(http, name, roles[name], token)

        done = parallel(one, list(roles), self.context.deadline, f"{VENDOR}: taking roles")
        for result in done:
            if isinstance(result, Exception):
                raise result
        return {name: result for name, result in zip(roles, done, strict=True) if isinstance(result, Credentials)}

    def _assume(self, http: Session, name: str, role: AwsProfile, token: IdentityToken) -> Credentials:
        s = self.settings
        assert isinstance(role.duration, float)
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role.role_arn,
            "RoleSessionName": s.session_name or session_name(token.claims),
            "WebIdentityToken": token.jwt.reveal(),
            "DurationSeconds": str(int(role.duration)),
            **({"Policy": str(role.session_policy)} if role.session_policy else {}),
            # A list of structures in the Query protocol: botocore/data/sts/2011-06-15/service-2.json.
            **{f"PolicyArns.member.{n}.arn": arn for n, arn in enumerate(role.managed_policies, 1)},
        }
        # With our sessions' own Accept (JSON), STS answers in a JSON that it does not document.
        response = http.post(s.url + "/", data=form, headers={"Accept": "text/xml"})
        answer, leaves = answer_of(response)
        # An error in AWS's own words says more than its status: 4xx and 5xx are told alike by login_refused.
        trouble = server_trouble(VENDOR, f"taking the role {role.role_arn}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, leaves, role.role_arn, token, s.audience)
        label = f"{self.name}: AWS {name}".rstrip()
        found = issued(answer, leaves, self.context.seal, label, time.time())
        if s.allowed_account_ids and found.account not in s.allowed_account_ids:
            raise RefusedError(
                f"{VENDOR}: the session is in account {found.account or '(not told)'}, which `allowed_account_ids` "
                "does not name",
                cause="something else than AWS's STS answered, for the role's own account is one of them",
                change="correct `url`, or leave it out",
                docs="aws-account",
                detail=answer.detail,
            )
        return found

    @classmethod
    def process_output(cls, lease: Lease) -> Mapping[str, Any]:
        """See the base class. https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html"""
        if not lease.fields or lease.expires_at is None:
            raise UsageError(
                "credential-process: this provider has profiles only",
                change="give each profile a provider of its own, with `role_arn`",
                docs="aws-settings",
            )
        key_id, secret_key, session_token = (lease.fields[name].reveal() for name in _KEYS)
        ends = dt.datetime.fromtimestamp(int(lease.expires_at), dt.UTC)
        return {
            "Version": 1,
            "AccessKeyId": key_id,
            "SecretAccessKey": secret_key,
            "SessionToken": session_token,
            "Expiration": ends.isoformat().replace("+00:00", "Z"),
        }

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: STS has no request for it."""
        del context  # there is nobody to ask
        raise KeyleaseError(f"{VENDOR}: {revocation.label} can't be revoked: it ends by itself", docs="aws-revoke")

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: of `role_arn`, or of each profile's role."""
        s = self.settings
        arns = list(dict.fromkeys(filter(None, [s.role_arn, *(each.role_arn for each in s.profiles.values())])))
        made = [trust_for(claims, arn, s.audience) for arn in arns]
        notes = list(dict.fromkeys(note for each in made for note in each.notes))
        return Trust("; ".join(each.title for each in made), "\n".join(t for each in made if (t := each.text)), notes)


def session_name(claims: Mapping[str, Any]) -> str:
    """Repository and run, in the 64 characters that a session's name may have; the run is never cut."""
    platform = platform_of(claims)
    parts = [_clean(claims.get(name)) for name in platform.trace[:2]] if platform else [_clean(claims.get("sub"))]
    where, run = parts[0], "".join(f"@{part}" for part in parts[1:] if part)[:40]
    name = where[: 64 - len(run)] + run
    return name if len(name) >= 2 else "keylease"


def _clean(value: object) -> str:
    text = str(value) if isinstance(value, str | int) else ""
    return re.sub(r"[^\w+=,.-]+", "-", text, flags=re.ASCII).strip("-")


def _values(found: Credentials) -> Sequence[Secret]:
    return found.key_id, found.secret_key, found.session_token


def _credentials_file(profiles: Mapping[str, Credentials]) -> Secret:
    """https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html"""
    lines: list[str] = []
    for name, found in profiles.items():
        values = (value.reveal() for value in _values(found))
        lines.append(f"[{name}]")
        lines += [f"{key.lower()} = {value}" for key, value in zip(_KEYS, values, strict=True)]
    # Not sealed as a whole: its values are, one by one, and lines such as "[default]" are no secrets.
    return Secret("\n".join(lines) + "\n")


def _warnings(env: Env, variables: Mapping[str, Secret]) -> list[str]:
    there = [name for name in _KEYS[:2] if env.get(name)]
    if there and not variables:
        return [f"{VENDOR}: {there[0]} is set in this job and wins over AWS_PROFILE: take it out, or name the profile"]
    return []
