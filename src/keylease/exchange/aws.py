"""The job's identity token for sessions of AWS roles (``AssumeRoleWithWebIdentity``), and of roles behind those.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
"""

import datetime as dt
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from keylease.vendors.aws_existing import can_be_empty, existing, replaced, warnings
from keylease.vendors.aws_session import AwsSession
from keylease.vendors.aws_settings import VENDOR, AwsProfile, AwsSettings, complete
from keylease.vendors.aws_signing import needed_soon
from keylease.vendors.aws_token import MAX_TOKEN, token_in
from keylease.vendors.aws_trust import chain_trust, reading, trust_for
from keylease.vendors.job_claims import platform_of

MAX_BODY = 256 * 1024
"""Bytes of an answer: one session's credentials."""

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class AwsExchanger(Exchanger):
    """One form POST a role, unsigned; a role's keys become variables, those of profiles a credentials file.

    A chained role is a second, signed POST.
    """

    kind = "aws"
    Settings = AwsSettings

    settings: AwsSettings

    @classmethod
    def complete(cls, settings: AwsSettings, env: Env) -> AwsSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return None if self.settings.token_file else self.settings.audience

    def own_token(self) -> IdentityToken | None:
        """See the base class: that of `token_file`."""
        s = self.settings
        return token_in(s.token_file, s.audience, self.context.seal) if s.token_file else None

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. All roles or none; there is nothing to give back, for sessions can't be revoked."""
        s = self.settings
        token = self.own_token() or token
        if token is None:
            raise UsageError(f"{VENDOR}: an identity token is needed", docs="aws-settings")
        assert isinstance(s.timeout, float)
        if len(token.jwt.reveal_bytes()) > MAX_TOKEN:
            raise UsageError(
                f"{VENDOR}: the identity token is longer than the {MAX_TOKEN} characters that STS takes",
                change="have the platform put fewer claims into it",
                docs="aws-login",
            )
        roles = self._roles()
        http = self.context.http.session(
            VENDOR,
            HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY, transient=is_transient),
            connections=min(8, len(roles)),
        )
        if s.allowed_account_ids or self.reads or any(role.chain for role in roles.values()):
            needed_soon()
        found = self._assume_all(http, roles, token)
        first = next(iter(found.values()))
        session = self._session(roles, found)
        variables = dict(zip(_KEYS, _values(found.pop("")), strict=True)) if "" in found else {}
        plain = {"AWS_REGION": s.region, "AWS_DEFAULT_REGION": s.region}
        if found and not variables:
            plain["AWS_PROFILE"] = next(iter(found))
        files = [LeaseFile("AWS_SHARED_CREDENTIALS_FILE", "credentials", _credentials_file(found))] if found else []
        ours = {*variables, *plain, *(file.variable for file in files)}
        env = self.context.env if self.used else {}
        unset = existing(env, ours) if s.unset_existing else replaced(env, ours)
        ends = [first.expires_at, *(each.expires_at for each in found.values())]
        return Lease(
            self.name,
            self.kind,
            variables,
            session=session,
            account=first.arn or _last(next(iter(roles.values()))),
            expires_at=min(ends),
            fingerprint=fingerprint(first.session_token),
            plain=plain,
            unset={name: can_be_empty(name) for name in unset},
            files=files,
            warnings=warnings(env, ours, unset=s.unset_existing),
        )

    def _roles(self) -> dict[str, AwsProfile]:
        s = self.settings
        roles: dict[str, AwsProfile] = {}
        if s.role_arn:
            roles[""] = AwsProfile(
                role_arn=s.role_arn,
                duration=s.duration,
                session_policy=s.session_policy,
                managed_policies=s.managed_policies,
                chain=s.chain,
            )
        return roles | s.profiles

    def _session(self, roles: Mapping[str, AwsProfile], found: Mapping[str, Credentials]) -> AwsSession | None:
        # Of several profiles none is the one to read with.
        name = "" if "" in found else next(iter(found))
        if name and len(found) > 1:
            return None
        s, role = self.settings, found[name]
        assert isinstance(s.timeout, float)
        return AwsSession(
            role.key_id,
            role.secret_key,
            role.session_token,
            role.arn or _last(roles[name]),
            s.region,
            s.timeout,
            s.retries,
            {"secretsmanager": s.secretsmanager_url, "ssm": s.ssm_url},
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
            "RoleSessionName": s.session_name or session_name(token.claims),
            "DurationSeconds": str(int(role.duration)),
            **({"Policy": str(role.session_policy)} if role.session_policy else {}),
            # A list of structures in the Query protocol: botocore/data/sts/2011-06-15/service-2.json.
            **{f"PolicyArns.member.{n}.arn": arn for n, arn in enumerate(role.managed_policies, 1)},
        }
        label = f"{self.name}: AWS {name}".rstrip()
        if role.chain:
            from keylease.vendors.aws_chain import second_role

            # The first session is for one request only: the shortest there is, and never handed over.
            short = {"RoleSessionName": form["RoleSessionName"], "DurationSeconds": "900"}
            first = role.role_arn, self._with_token(http, role.role_arn, short, token, f"{label} {role.role_arn}")
            found = second_role(http, s, first, role.chain, form, token.claims, self.context.seal, label)
        else:
            found = self._with_token(http, role.role_arn, form, token, label)
        if s.allowed_account_ids:
            self._check_account(found.account, "the answer")
            from keylease.vendors.aws_chain import account_of_session

            self._check_account(account_of_session(http, s, found), "GetCallerIdentity")
        return found

    def _with_token(
        self, http: Session, role_arn: str, form: Mapping[str, str], token: IdentityToken, label: str
    ) -> Credentials:
        s = self.settings
        action = "AssumeRoleWithWebIdentity"
        body = {
            "Action": action,
            "Version": "2011-06-15",
            "RoleArn": role_arn,
            "WebIdentityToken": token.jwt.reveal(),
            **form,
        }
        # With our sessions' own Accept (JSON), STS answers in a JSON that it does not document.
        response = http.post(s.url + "/", data=body, headers={"Accept": "text/xml"})
        answer, leaves = answer_of(response)
        # An error in AWS's own words says more than its status: 4xx and 5xx are told alike by login_refused.
        trouble = server_trouble(VENDOR, f"taking the role {role_arn}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, leaves, role_arn, token, s.audience)
        return issued(answer, leaves, action, self.context.seal, label, time.time())

    def _check_account(self, account: str, source: str) -> None:
        if account not in self.settings.allowed_account_ids:
            raise RefusedError(
                f"{VENDOR}: by {source}, the session is in account {account or '(not told)'}, which "
                "`allowed_account_ids` does not name",
                cause="something else than AWS's STS answered, for the role's own account is one of them",
                change="correct `url`, or leave it out",
                docs="aws-account",
            )

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
        """See the base class: of `role_arn`, of each profile's role, of the roles chained to them; and what is read."""
        s = self.settings
        if s.token_file:
            # The job's own token is not what is sent. One that can't be read now is told by the login.
            with suppress(KeyleaseError):
                claims = token_in(s.token_file, s.audience, self.context.seal).claims
        roles = self._roles()
        made: list[Trust] = []
        accounts: set[str] = set()
        for arn in dict.fromkeys(each.role_arn for each in roles.values()):
            account = arn.split(":")[4]
            made.append(trust_for(claims, arn, s.audience, with_provider=account not in accounts))
            accounts.add(account)
        made += [chain_trust(each.role_arn, each.chain) for each in roles.values() if each.chain]
        reader = roles.get("") or (next(iter(roles.values())) if len(roles) == 1 else None)
        if reader and (may := reading(self.reads, _last(reader), s.region)):
            made.append(may)
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


def _last(role: AwsProfile) -> str:
    return role.chain.role_arn if role.chain else role.role_arn
