"""Take leases and read secrets: all of what was asked for, or nothing."""

# long file: all of one run's state is behind one lock

import base64
import binascii
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, UsageError
from keylease.exchange.base import Exchanger
from keylease.managers.base import Manager
from keylease.model import (
    Deliver,
    Document,
    Export,
    IdentityToken,
    Kept,
    Lease,
    LeaseFile,
    Plan,
    Provider,
    Read,
    Renewal,
    Revocation,
    Use,
    normalised,
)
from keylease.parallel import parallel
from keylease.pipelines.revoke import give_back
from keylease.registry import EXCHANGERS, MANAGERS
from keylease.secret import Secret

T = TypeVar("T")
R = TypeVar("R")

LATECOMERS = 2.0
"""Seconds that a run which is given up waits for requests under way: a login may be answered just now."""


class TokenSource(Protocol):
    """Where identity tokens come from (:class:`keylease.identity.source.IdentitySource`)."""

    def token(self, audience: str, *, fresh: bool = False) -> IdentityToken:
        """A token for `audience`, maybe one already fetched unless `fresh`."""


class Taken(Struct):
    """What a run obtained, ready to be handed over.

    unset: variables to take out of the environment; emptied: the same as empty variables, where that is all one can do.
    """

    exports: list[Export] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    renewals: list[Renewal] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    emptied: list[Export] = field(default_factory=list)

    @property
    def revocations(self) -> list[Revocation]:
        """What must be ended when the job does."""
        return [lease.revocation for lease in self.leases if lease.revocation]


class LeaseRun:
    """One run of the lease pipeline.

    plan: what to do. tokens: the job's identity.
    remember: told of all revocations as soon as one exists, and again when one has grown, so that a job killed
        at any moment can still be cleaned up by the next step.
    hold: called before anything is given back: from then on no signal may interrupt.
    """

    def __init__(
        self,
        plan: Plan,
        context: Context,
        tokens: TokenSource,
        remember: Callable[[Sequence[Revocation]], None] = lambda _: None,
        hold: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._context = context
        self._tokens = tokens
        self._remember = remember
        self._hold = hold
        self._taken = Taken()
        self._leases: dict[str, Lease] = {}
        self._managers: dict[tuple[str, str], Manager] = {}
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._busy = 0
        self._closed = False
        self._left: list[Revocation] = []

    def take(self) -> Taken:
        """Log in everywhere, read everything, and assemble the exports in the order asked.

        Raises the first failure in that order, with the others in its `also`; whatever was leased before is
        given back first.
        """
        try:
            self._check()
            for level in self._levels(self._used_providers()):
                self._each(self._log_in, level, "logging in")
            documents = self._read_all([d.read for d in self._plan.deliveries])
            self._taken.exports = [*self._used(), *self._delivered(documents)]
            given = {export.name for export in self._taken.exports}
            emptied = {export.name: export for export in self._taken.emptied if export.name not in given}
            self._taken.emptied = list(emptied.values())
        except BaseException:
            self.abandon()
            raise
        return self._taken

    def open(self, providers: Sequence[str]) -> None:
        """Log in to these providers, and to those that they need; all or none, as :meth:`take`."""
        try:
            for level in self._levels(providers):
                self._each(self._log_in, level, "logging in")
        except BaseException:
            self.abandon()
            raise

    def manager(self, provider: str, scheme: str) -> Manager:
        """The manager of an open provider."""
        with self._lock:
            key = (provider, scheme)
            if key not in self._managers:
                self._managers[key] = MANAGERS.load(scheme)(self._leases[provider], self._context)
            return self._managers[key]

    def lease(self, provider: str) -> Lease:
        """That of an open provider."""
        with self._lock:
            return self._leases[provider]

    @property
    def renewals(self) -> Sequence[Renewal]:
        """Of the leases that are held, for whoever needs them for long."""
        with self._lock:
            return list(self._taken.renewals)

    def value(self, deliver: Deliver) -> Secret:
        """One value, read with an open provider's lease."""
        return self._value(self.manager(deliver.read.provider, deliver.read.scheme).read(deliver.read), deliver)

    def documents(self, reads: Sequence[Read]) -> Mapping[Read, Document | KeyleaseError]:
        """What open providers' leases read; in the place of what can't be had, why."""
        found: dict[Read, Document | KeyleaseError] = {}

        def fetch(group: Sequence[Read]) -> None:
            try:
                found.update(zip(group, self._manager(group[0]).read_many(group), strict=True))
            except KeyleaseError as error:
                found.update(dict.fromkeys(group, error))

        self._each(fetch, self._groups(list(dict.fromkeys(reads))), "reading secrets")
        return found

    def abandon(self) -> list[Revocation]:
        """Give back all that was taken, once; failures are warnings with the expiry in them, and returned.

        A signal or the deadline can end a run with requests under way: what they still obtain is given back too.
        """
        self._hold()
        with self._lock:
            if self._closed:
                return self._left
            self._closed = True
            self._wait_for_latecomers(0.2)
            revocations = self._taken.revocations
        self._left = [item.revocation for item in give_back(revocations, self._context)]
        with self._lock:
            self._wait_for_latecomers(0.0)
        return self._left

    def _wait_for_latecomers(self, least: float) -> None:
        # After the deadline nothing is under way but what was answered at the last moment.
        seconds = min(LATECOMERS, max(least, self._context.deadline.remaining))
        self._idle.wait_for(lambda: self._busy == 0, seconds)

    def _check(self) -> None:
        exchangers: dict[str, type[Exchanger]] = {
            name: EXCHANGERS.load(p.type) for name, p in self._plan.providers.items()
        }
        for deliver in self._all_deliveries():
            manager = MANAGERS.load(deliver.read.scheme)
            if exchangers[deliver.read.provider].kind != manager.provider:
                raise UsageError(
                    f"{deliver.origin}: provider {deliver.read.provider!r} can't read {deliver.read}",
                    change=f"name a provider of type {manager.provider}",
                    docs="provider-scheme",
                )
            manager.check(deliver.read)

    def _all_deliveries(self) -> list[Deliver]:
        needs = [need for provider in self._plan.providers.values() for need in provider.needs.values()]
        return [*needs, *self._plan.deliveries]

    def _used_providers(self) -> list[str]:
        return [*(use.provider for use in self._plan.uses), *(d.read.provider for d in self._plan.deliveries)]

    def _levels(self, names: Sequence[str]) -> list[list[Provider]]:
        """These providers, those that others need first; each level can go side by side."""
        wanted: dict[str, Provider] = {}

        def want(name: str) -> None:
            if name not in wanted:
                provider = self._plan.providers[name]
                for need in provider.needs.values():
                    want(need.read.provider)
                wanted[name] = provider

        for name in names:
            want(name)
        depth: dict[str, int] = {}
        for name, provider in wanted.items():  # a needed provider was put in before the one that needs it
            depth[name] = 1 + max((depth[need.read.provider] for need in provider.needs.values()), default=-1)
        return [[p for n, p in wanted.items() if depth[n] == d] for d in range(max(depth.values(), default=-1) + 1)]

    def _log_in(self, provider: Provider) -> None:
        settings = provider.settings
        kind = EXCHANGERS.load(provider.type)
        if provider.needs:
            values = {key: self._value(self._manager(n.read).read(n.read), n) for key, n in provider.needs.items()}
            settings = kind.with_needs(settings, values)
        exchanger = kind(provider.name, settings, self._context, self._plan.reads(provider.name))
        exchanger.used = any(use.provider == provider.name for use in self._plan.uses)
        audience = exchanger.audience()
        if audience is None:
            lease = exchanger.exchange(None)
        else:
            token = self._tokens.token(audience)
            try:
                lease = exchanger.exchange(token)
            except KeyleaseError as error:
                if not error.retry_with_new_token:
                    raise
                token = self._tokens.token(audience, fresh=True)
                lease = exchanger.exchange(token)
            lease.token = token
        self._keep(lease)

    def _keep(self, lease: Lease) -> None:
        if lease.revocation:
            lease.revocation.strict = self._plan.strict_revoke
        with self._lock:
            if not self._closed:
                self._leases[lease.provider] = lease
                self._taken.leases.append(lease)
                self._taken.warnings += lease.warnings
                if lease.renewal:
                    self._taken.renewals.append(lease.renewal)
                if lease.revocation:
                    self._remember(self._taken.revocations)
                return
        # The run was given up while this login was under way: nobody else will end this lease.
        give_back([lease.revocation] if lease.revocation else [], self._context)

    def _manager(self, read: Read) -> Manager:
        return self.manager(read.provider, read.scheme)

    def _read_all(self, reads: Sequence[Read]) -> Mapping[Read, Document | NotFoundError]:
        unique = list(dict.fromkeys(reads))
        required = {d.read for d in self._plan.deliveries if d.required}
        documents: dict[Read, Document | NotFoundError] = {}

        def fetch(group: Sequence[Read]) -> None:
            failures: list[KeyleaseError] = []
            for read, found in zip(group, self._manager(group[0]).read_many(group), strict=True):
                if isinstance(found, NotFoundError) and read not in required:
                    documents[read] = found
                elif isinstance(found, KeyleaseError):
                    failures.append(found)
                else:
                    documents[read] = found
                    if found.renewal:
                        with self._lock:
                            self._taken.renewals.append(found.renewal)
            _raise_all(failures)

        try:
            self._each(fetch, self._groups(unique), "reading secrets")
        finally:
            if any(revocation.children for revocation in self._taken.revocations):
                with self._lock:
                    self._remember(self._taken.revocations)
        return documents

    def _groups(self, reads: Sequence[Read]) -> list[list[Read]]:
        same: dict[tuple[str, str], list[Read]] = {}
        for read in reads:
            same.setdefault((read.provider, read.scheme), []).append(read)
        return [group for alike in same.values() for group in self._manager(alike[0]).grouped(alike)]

    def _each(self, work: Callable[[T], R], items: Sequence[T], doing: str) -> None:
        def one(item: T) -> R:
            with self._lock:
                if self._closed:
                    raise KeyleaseError(f"{doing}: given up")
                self._busy += 1
            try:
                return work(item)
            finally:
                with self._lock:
                    self._busy -= 1
                    self._idle.notify_all()

        results = parallel(one, items, self._context.deadline, doing)
        failures = [result for result in results if isinstance(result, Exception)]
        for failure in failures:
            if not isinstance(failure, KeyleaseError):
                raise failure
        _raise_all([failure for failure in failures if isinstance(failure, KeyleaseError)])

    def _used(self) -> list[Export]:
        exports = []
        for use in self._plan.uses:
            lease = self._leases[use.provider]
            expires_at = lease.expires_at
            plain = {name: Secret(value) for name, value in lease.plain.items()}
            found = [
                Export(use.names.get(name, name), value, source=use.provider, expires_at=expires_at)
                for name, value in {**lease.fields, **plain}.items()
            ]
            for file in lease.files:
                found += self._files(file, use, lease)
            exports += [replace(each, env=use.env, output=use.output, origin=use.origin) for each in found]
            if use.env:
                self._taken.unset += lease.unset
                empty = [name for name, does in lease.unset.items() if does]
                self._taken.emptied += [Export(n, Secret(""), use.provider, origin=use.origin) for n in empty]
        return exports

    def _files(self, file: LeaseFile, use: Use, lease: Lease) -> list[Export]:
        name = use.names.get(file.variable, file.variable)
        main = Export(name, file.content or Secret(""), source=use.provider, file=f"{use.provider}-{file.file}")
        if file.render:
            original = {use.names.get(other.variable, other.variable): other.variable for other in lease.files}
            make = file.render
            main = replace(main, render=lambda paths: make({original.get(k, k): path for k, path in paths.items()}))
        token = lease.token
        if file.fresh and token and token.expires_at is not None:
            kept = Kept(name, token.audience, file.fresh, token.expires_at, file.lifetime)
            self._taken.kept.append(replace(kept, expires_at=kept.until(token)))
        also = [Export(use.names.get(n, n), Secret(""), source=use.provider, path_of=name) for n in file.also]
        return [main, *also]

    def _delivered(self, documents: Mapping[Read, Document | NotFoundError]) -> list[Export]:
        exports: list[Export] = []
        failures: list[KeyleaseError] = []
        for deliver in self._plan.deliveries:
            try:
                exports += self._exports(deliver, documents[deliver.read])
            except NotFoundError as error:
                if deliver.required:
                    failures.append(error)
                else:
                    self._taken.warnings.append(f"{error.summary} (not required: left out)")
            except KeyleaseError as error:
                failures.append(error)
        _raise_all(failures)
        return exports

    def _exports(self, deliver: Deliver, document: Document | NotFoundError) -> list[Export]:
        if isinstance(document, NotFoundError):
            raise document
        expires_at = document.expires_at
        common = Export(
            deliver.name,
            Secret(""),
            source=str(deliver.read),
            env=deliver.env,
            output=deliver.output,
            output_name=deliver.output_name,
            file=deliver.file,
            expires_at=expires_at,
            origin=deliver.origin,
        )
        if not deliver.is_wildcard:
            return [replace(common, value=self._value(document, deliver))]
        exports = []
        for field_name in document.names():
            single = replace(deliver, selector=(field_name,))
            bare = normalised(deliver.name + field_name)
            exports.append(
                replace(
                    common,
                    name=bare.upper() if deliver.selector == "*" else bare,
                    output_name=bare,
                    value=self._value(document, single),
                )
            )
        return exports

    def _value(self, document: Document, deliver: Deliver) -> Secret:
        selector = deliver.selector
        assert not isinstance(selector, str), "wildcards are taken apart before"
        value = document.value(selector, self._context.seal)
        return value if deliver.decode == "none" else self._decoded(value, deliver)

    def _decoded(self, value: Secret, deliver: Deliver) -> Secret:
        label = f"{deliver.read} ({deliver.name})"
        data = b"".join(value.reveal_bytes().split())
        try:
            if deliver.decode == "hex":
                decoded = binascii.unhexlify(data)
            else:
                if deliver.decode == "base64url":
                    data = data.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(data) % 4)
                decoded = base64.b64decode(data, validate=True)
        except ValueError:  # binascii.Error is one; its message can quote the data
            raise UsageError(
                f"{deliver.origin}: the value of {deliver.read} is not {deliver.decode}",
                cause="it is stored as plain text, or in another encoding",
                change="remove `decode`, or store the value encoded",
                docs="decode",
            ) from None
        try:
            return self._context.seal(decoded.decode("utf-8"), label)
        except UnicodeDecodeError:
            return self._context.seal(decoded, label)


def _raise_all(failures: Sequence[KeyleaseError]) -> None:
    """Raise the first, with all others (and those they carry) in its `also`."""
    flat = [each for failure in failures for each in (failure, *failure.also)]
    for each in flat:
        each.also = []
    if flat:
        flat[0].also = flat[1:]
        raise flat[0]
