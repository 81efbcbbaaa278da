"""Log in to HashiCorp Vault or OpenBao and revoke what was taken.

https://openbao.org/api-docs/auth/jwt/ · https://openbao.org/api-docs/auth/token/
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.exchange.base import Exchanger
from keylease.model import Env, IdentityToken, Lease, Renewal, Revocation, Trust, fingerprint
from keylease.secret import Secret
from keylease.vendors.vault_settings import VaultSettings, complete

if TYPE_CHECKING:
    from keylease.vendors.vault_client import Answer, VaultClient

_LONGEST = 10 * 365 * 86400
"""Seconds of a lease_duration: the longest that a server of anybody's is set to, and some."""


class VaultExchanger(Exchanger):
    """The job's identity token (or another method's credential) for a Vault token."""

    kind = "vault"
    any_host = True
    Settings = VaultSettings

    settings: VaultSettings

    @classmethod
    def complete(cls, settings: VaultSettings, env: Env) -> VaultSettings:
        """See the base class."""
        return complete(settings, env)

    @classmethod
    def with_needs(cls, settings: VaultSettings, values: Mapping[str, Secret]) -> VaultSettings:
        """See the base class; a role id is no secret to us and is held as text."""
        sealed = ("token", "secret_id")
        taken = {name: value if name in sealed else value.reveal() for name, value in values.items()}
        return msgspec.structs.replace(settings, **taken)

    def audience(self) -> str | None:
        """See the base class: the configured one, else the origin of `url`; only jwt wants an identity token."""
        return self.settings.audience if self.settings.method == "jwt" else None

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. One request for jwt, approle, kubernetes; a lookup for a given token."""
        # hvac is imported here: neither `keylease schema` nor an error in the configuration needs it.
        from keylease.vendors.vault_client import Connection, VaultClient

        connection = Connection.of(self.settings, self.context)
        client = VaultClient(connection, self.context)
        if self.settings.method == "token":
            lease = self._given(client)
        else:
            lease = self._issued(client, self._login(client, token), token)
        try:
            lease.fields = {**self._handed_over(client, lease)}
        except BaseException:
            # The token is ours already, and nobody else would end it.
            self._give_back(lease)
            raise
        lease.warnings[:0] = connection.warnings(self.context)
        return lease

    def _give_back(self, lease: Lease) -> None:
        assert lease.revocation is not None
        try:
            type(self).revoke(lease.revocation, self.context.for_revocation())
        except KeyleaseError as error:  # what went wrong before is the story to tell
            self.context.log.warning("%s", error.summary)

    def _login(self, client: "VaultClient", token: IdentityToken | None) -> "Answer":
        s = self.settings
        if s.method == "approle":
            if not s.role_id:
                raise UsageError(
                    "Vault: `role_id` is missing",
                    change="role_id: the output of `bao read auth/approle/role/NAME/role-id`",
                    docs="vault-settings",
                )
            secret_id = self._secret_id(client)
            return client.ask(
                lambda c: c.auth.approle.login(
                    s.role_id,
                    secret_id.reveal() if secret_id else None,
                    use_token=False,
                    mount_point=s.mount,
                )
            )
        if s.method == "kubernetes":
            jwt = self._read_file("kubernetes_token_file", s.kubernetes_token_file or "")
            return client.ask(
                lambda c: c.auth.kubernetes.login(s.role, jwt.reveal(), use_token=False, mount_point=s.mount)
            )
        if token is None:
            raise UsageError("Vault: method jwt needs an identity token", docs="vault-settings")
        return client.ask(
            lambda c: c.auth.jwt.jwt_login(s.role or None, token.jwt.reveal(), use_token=False, path=s.mount)
        )

    def _issued(self, client: "VaultClient", answer: "Answer", sent: IdentityToken | None) -> Lease:
        auth = answer.section("auth")
        value = auth.get("client_token")
        if not answer.ok or not isinstance(value, str) or not value:
            if answer.ok:
                raise self._no_token(auth)
            from keylease.vendors.vault_login import login_refused

            raise login_refused(client, answer, self.settings, sent, self.reads)
        secret = self.context.seal(value, f"{self.name}: Vault token")
        lease = self._lease(client, secret, auth, own=True)
        ttl = auth.get("lease_duration", 0)
        if isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 <= ttl <= _LONGEST:
            self._give_back(lease)
            raise UnreachableError(
                f"Vault: auth/{self.settings.mount} answered with a lease_duration that can't be one",
                cause="something else than a Vault or OpenBao answered",
                change="check `url`",
                docs="garbage",
                detail=answer.detail,
            )
        return lease

    def _no_token(self, auth: Mapping[str, Any]) -> KeyleaseError:
        where = f"Vault: auth/{self.settings.mount} answered without a token"
        if auth.get("mfa_requirement"):
            return RefusedError(
                f"{where}: it wants a second factor",
                cause="a login MFA enforcement applies to this mount, which no job can satisfy",
                change=f"exempt auth/{self.settings.mount} (`bao list identity/mfa/login-enforcement`)",
                docs="vault-login",
            )
        return RefusedError(where, cause="this is not the login endpoint of a Vault or OpenBao", docs="garbage")

    def _given(self, client: "VaultClient") -> Lease:
        s = self.settings
        secret = s.token or self._variable("token_env", s.token_env or "VAULT_TOKEN")
        if s.unwrap:
            answer = self._unwrap(client, secret)
            if answer.section("auth"):
                return self._issued(client, answer, None)  # made for this job alone: ours to revoke
            secret = self._sealed(answer.section("data").get("token"), "token")
        client.use(secret)
        answer = client.ask(lambda c: c.auth.token.lookup_self())
        if answer.ok:
            data = answer.section("data")
            auth = {**data, "token_policies": data.get("policies"), "lease_duration": data.get("ttl")}
            return self._lease(client, secret, auth, own=False)
        from keylease.vendors.vault_errors import server_trouble

        trouble = server_trouble(client, answer, "looking up the token")
        if trouble:
            raise trouble
        if not client.is_alive():
            raise RefusedError(
                f"Vault: the given token is not valid at {s.url}",
                cause="it has expired, was revoked, or belongs to another server or namespace",
                change="give a live token, or log in by `method: jwt` instead",
                docs="vault-token",
                detail=answer.detail,
            )
        return self._lease(client, secret, {}, own=False)  # its policies leave out auth/token/lookup-self

    def _lease(self, client: "VaultClient", secret: Secret, auth: Mapping[str, Any], *, own: bool) -> Lease:
        from keylease.vendors.vault_session import VaultSession

        client.use(secret)
        ttl = auth.get("lease_duration")
        expires_at = time.time() + ttl if isinstance(ttl, int | float) and ttl > 0 else None
        policies = [p for key in ("token_policies", "identity_policies") for p in (auth.get(key) or [])]
        label = f"{self.name} (Vault token)"
        revocation = Revocation(self.kind, label, client.connection.to_data(), secret, own, expires_at=expires_at)
        lease = Lease(
            self.name,
            self.kind,
            {},
            VaultSession(client, [str(p) for p in dict.fromkeys(policies)]),
            account=" ".join(filter(None, [self.settings.role, _shown(auth.get("display_name") or _user(auth))])),
            expires_at=expires_at,
            fingerprint=fingerprint(secret) if own else None,
            plain={"VAULT_ADDR": self.settings.url}
            | ({"VAULT_NAMESPACE": self.settings.namespace} if self.settings.namespace else {}),
            revocation=revocation,
            warnings=_warnings(auth, own=own),
        )
        if own and auth.get("renewable") is True and expires_at is not None:
            lease.renewal = Renewal(label, float(ttl or 0), expires_at, lambda: _renew(client))
        return lease

    def _handed_over(self, client: "VaultClient", lease: Lease) -> Mapping[str, Secret]:
        revocation = lease.revocation
        assert revocation is not None
        assert revocation.token is not None
        token = revocation.token
        if not self.settings.wrap_ttl:
            return {"VAULT_TOKEN": token}
        # https://openbao.org/api-docs/system/wrapping-wrap/: `bao unwrap -field=token` gives it back, once.
        ttl = self.settings.wrap_ttl
        answer = client.ask(lambda c: c.sys.wrapping.wrap({"token": token.reveal()}, ttl=ttl))
        wrapping = answer.section("wrap_info").get("token")
        if not answer.ok or not isinstance(wrapping, str):
            from keylease.vendors.vault_errors import refused_read

            policies = lease.session.policies  # type: ignore[attr-defined]
            raise refused_read(client, answer, "sys/wrapping/wrap", f"{self.name}: wrap_ttl", policies, write=True)
        return {"VAULT_WRAPPED_TOKEN": self.context.seal(wrapping, f"{self.name}: wrapping token")}

    # Credentials of the other methods.

    def _secret_id(self, client: "VaultClient") -> Secret | None:
        s = self.settings
        secret = s.secret_id
        if s.secret_id_env:
            secret = self._variable("secret_id_env", s.secret_id_env)
        elif s.secret_id_file:
            secret = self._read_file("secret_id_file", s.secret_id_file)
        if secret is None or not s.unwrap:
            return secret
        return self._sealed(self._unwrap(client, secret).section("data").get("secret_id"), "secret_id")

    def _unwrap(self, client: "VaultClient", wrapping: Secret) -> "Answer":
        from keylease.vendors.vault_session import unwrap

        return unwrap(client, wrapping, self.name)

    def _variable(self, key: str, name: str) -> Secret:
        value = self.context.env.get(name, "").strip()
        if not value:
            raise UsageError(
                f"Vault: the variable {name} (`{key}`) is not set",
                cause="the secret it should come from is not there in this job (a fork, another environment?)",
                change=f"set {name} from a masked secret, or log in by `method: jwt`, which needs none",
                docs="vault-token",
            )
        return self._checked(value, key)

    def _read_file(self, key: str, path: str) -> Secret:
        reason = ""
        try:
            with open(path, encoding="utf-8") as file:
                return self._checked(file.read(64 * 1024).strip(), key)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
        raise UsageError(
            f"Vault: can't read {path!r} (`{key}`): {reason}",
            cause="the file is not there, or not visible inside the container"
            + ("" if os.path.isabs(path) else " (the path is relative to the working directory)"),
            docs="vault-settings",
        )

    def _checked(self, value: str, key: str) -> Secret:
        secret = self.context.seal(value, f"{self.name}: {key}")
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise UsageError(
                f"Vault: what `{key}` gives can't be a credential",
                cause="it is empty, or holds blanks, line breaks or characters outside ASCII",
                change="store it as one line, without quotes",
                docs="vault-token",
            )
        return secret

    def _sealed(self, value: object, what: str) -> Secret:
        if not isinstance(value, str) or not value:
            raise RefusedError(
                f"Vault: the unwrapped answer holds no {what}",
                cause="the wrapping token holds something else",
                change=f"wrap the right thing: its answer needs a field {what!r}",
                docs="vault-unwrap",
            )
        return self.context.seal(value, f"{self.name}: {what}")

    # The end.

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. Revoking a token of ours ends its leases too; a given token stays, its leases end."""
        from keylease.vendors.vault_session import revoke

        revoke(revocation, context)

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: a ready `bao write auth/MOUNT/role/ROLE`."""
        from keylease.vendors.vault_trust import trust_for

        s = self.settings
        if s.method in ("jwt", "kubernetes"):
            return trust_for(claims, s, self.reads)
        return Trust(f"Vault/OpenBao method {s.method}", "", ["it knows nothing of the job: prefer `method: jwt`"])


def _renew(client: "VaultClient") -> float:
    from keylease.vendors.vault_session import granted

    return granted(client, client.ask(lambda c: c.auth.token.renew_self()), "auth/token/renew-self")


def _user(auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata")
    if not isinstance(metadata, Mapping):
        return ""
    return str(metadata.get("repository") or metadata.get("project_path") or "")


def _shown(value: object) -> str:
    text = str(value or "")
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _warnings(auth: Mapping[str, Any], *, own: bool) -> list[str]:
    found = []
    if own and auth.get("token_type") == "batch":
        found.append("Vault: the role issues batch tokens, which can't be revoked: set token_type=service on it")
    uses = auth.get("num_uses", auth.get("token_num_uses"))
    if isinstance(uses, int) and uses > 0:
        found.append(f"Vault: this token is good for {uses} requests only (token_num_uses), revoking it included")
    if "root" in (auth.get("token_policies") or []):
        found.append("Vault: this is a root token: whoever gets it owns the server; give jobs a role of their own")
    return found
