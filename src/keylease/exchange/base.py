"""The contract of an exchanger."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keylease.context import Context
from keylease.errors import UsageError
from keylease.model import Env, IdentityToken, Lease, Read, Revocation, Trust
from keylease.secret import Secret


class Exchanger(ABC):
    """Turns the job's identity token into a lease at one provider.

    Settings: the provider's own configuration type, a msgspec Struct (``forbid_unknown_fields=True``); config
    fills it from keylease.yml or the action's inputs and then calls :meth:`complete`.
    reads: what the run wants to read with the lease, for the trust to allow it and nothing else; empty: not known.
    used: whether the run hands over the lease's own variables (``use:``), or only reads with it.
    """

    kind: ClassVar[str]
    Settings: ClassVar[Any]
    any_host: ClassVar[bool] = False
    """Whether `url` of the settings may be any host: customers run this vendor's servers themselves."""

    def __init__(self, name: str, settings: Any, context: Context, reads: Sequence[Read] = ()) -> None:
        self.name = name
        self.settings = settings
        self.context = context
        self.reads = reads
        self.used = True

    @classmethod
    @abstractmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        """Settings with the provider's own environment fallbacks (``VAULT_ADDR``) filled in and checked.

        Raises :class:`keylease.errors.UsageError` naming the key that is missing or wrong.
        """

    @classmethod
    def with_needs(cls, settings: Any, values: Mapping[str, Secret]) -> Any:
        """Settings with the values that were read for them with another provider's lease."""
        import msgspec

        return msgspec.structs.replace(settings, **values)

    @abstractmethod
    def audience(self) -> str | None:
        """The `aud` the provider wants; None when these settings need no identity token."""

    def own_token(self) -> IdentityToken | None:
        """Where `audience` is None: the identity token that is sent all the same, from a place that the settings name.

        Raises :class:`keylease.errors.IdentityError` where there should be one and is none.
        """
        return None

    @abstractmethod
    def exchange(self, token: IdentityToken | None) -> Lease:
        """Log in. Raises RefusedError (with the claims that were sent and the trust to create), UnreachableError.

        The issued credential is sealed first thing; whatever was obtained before an error is given back.
        """

    @classmethod
    def process_output(cls, lease: Lease) -> Mapping[str, Any]:
        """What the vendor's tools read from a program that gives them credentials (AWS: ``credential_process``).

        Not sealed any more: for the standard output of such a program alone. Raises
        :class:`keylease.errors.UsageError` where the vendor has no such protocol.
        """
        raise UsageError(
            f"credential-process: no tool of {lease.type} reads credentials from a program",
            change="keylease exec -- COMMAND gives them to one command and renews them",
            docs="credential-process",
        )

    @classmethod
    @abstractmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """End a lease, maybe from another process. Idempotent: what is gone already is no error.

        Raises :class:`keylease.errors.KeyleaseError` when it may still be alive.
        """

    @abstractmethod
    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """The narrowest trust that lets exactly this job in, and read what `reads` says. Never a wildcard."""
