"""Put a plan together, and refuse what can't be done together, before anything is asked of anybody."""

from collections.abc import Mapping

from msgspec.structs import replace

from keylease.config.values import nearest
from keylease.errors import UsageError, located
from keylease.model import Deliver, Origin, Plan, Provider, Use
from keylease.outputs.names import check_name, check_output_name
from keylease.registry import MANAGERS


class Assembler:
    """Collects providers, uses and deliveries in the order written; every `add` raises :class:`UsageError`."""

    def __init__(self, allow_names: frozenset[str] = frozenset()) -> None:
        self._allow_names = allow_names
        self._providers: dict[str, Provider] = {}
        self._uses: list[Use] = []
        self._deliveries: list[Deliver] = []
        self._taken: dict[tuple[str, str], Origin] = {}

    def add_provider(self, provider: Provider) -> None:
        """Add a provider; its `needs` can follow once all others are known."""
        self._providers[provider.name] = provider

    def add_needs(self, name: str, needs: Mapping[str, Deliver]) -> None:
        """Say which settings of a provider are read with other providers' leases."""
        if needs:
            self._providers[name] = replace(self._providers[name], needs=needs)

    def add_use(self, use: Use) -> None:
        """Add a ``use: provider``."""
        self._check_provider(use.provider, use.origin)
        for name in use.names.values():
            self._claim(name, use.env, name if use.output else None, None, use.origin)
        self._uses.append(use)

    def add_delivery(self, deliver: Deliver) -> None:
        """Add a value to deliver. A wildcard's names are not known yet: outputs checks them when they are."""
        check_read(deliver)
        if not deliver.is_wildcard:
            output = (deliver.output_name or deliver.name) if deliver.output else None
            self._claim(deliver.name, deliver.env, output, deliver.file, deliver.origin)
        self._deliveries.append(deliver)

    def provider_for(self, scheme: str, wanted: str | None, origin: Origin, not_this: str | None = None) -> str:
        """The provider to read with: the `wanted` one, or the only one there is that can."""
        if scheme not in MANAGERS:
            near = nearest(scheme, MANAGERS)
            raise UsageError(
                f"{origin}: nothing reads {scheme}:// references",
                cause=f"did you mean {near}://?" if near else "",
                change=f"use one of: {', '.join(f'{known}://' for known in MANAGERS)}",
                docs="provider-scheme",
            )
        kind = MANAGERS.load(scheme).provider
        if wanted is not None:
            self._check_provider(wanted, replace(origin, key=f"{origin.key}.provider" if origin.key else ""))
            if self._providers[wanted].type != kind:
                raise UsageError(
                    f"{origin}: provider {wanted!r} is of type {self._providers[wanted].type} and can't read {scheme}://",
                    change=f"name a provider of type {kind}",
                    docs="provider-scheme",
                )
            return wanted
        able = [name for name, provider in self._providers.items() if provider.type == kind and name != not_this]
        if len(able) == 1:
            return able[0]
        if not able:
            other = "other " if not_this else ""
            raise UsageError(
                f"{origin}: there is no {other}provider of type {kind} to read {scheme}:// with",
                change=f"add one under `providers:`, with `type: {kind}`",
                docs="provider-scheme",
            )
        raise UsageError(
            f"{origin}: several providers could read this: {', '.join(able)}",
            change=f"say which one: `provider: {able[0]}`",
            docs="provider-scheme",
        )

    def plan(self) -> Plan:
        """The plan. Raises :class:`UsageError` when providers need each other in a circle."""
        self._check_circles()
        return Plan(
            providers=self._providers,
            uses=tuple(self._uses),
            deliveries=tuple(self._deliveries),
            allow_names=self._allow_names,
        )

    def _check_provider(self, name: str, origin: Origin) -> None:
        if name not in self._providers:
            near = nearest(name, self._providers)
            known = ", ".join(self._providers)
            raise UsageError(
                f"{origin}: there is no provider {name!a}",
                cause=f"did you mean {near!r}?" if near else "",
                change=f"use one of: {known}" if known else "add it under `providers:`",
                docs="provider-scheme",
            )

    def _check_circles(self) -> None:
        done: set[str] = set()

        def visit(name: str, way: list[str]) -> None:
            for need in self._providers[name].needs.values():
                other = need.read.provider
                if other in way:
                    circle = [*way[way.index(other) :], other]
                    raise UsageError(
                        f"{need.origin}: the providers need each other in a circle: {' → '.join(circle)}",
                        cause="each one's credential would have to be read with the next one's lease",
                        change="let one of them log in by itself, with the job's identity token",
                        docs="provider-circle",
                    )
                if other not in done:
                    visit(other, [*way, other])
            done.add(name)

        for name in self._providers:
            if name not in done:
                visit(name, [name])

    def _claim(self, name: str, env: bool, output: str | None, file: str | None, origin: Origin) -> None:
        if env:
            check_name(name, self._allow_names, origin)
            self._take("variable", name, name, origin)
        if output is not None:
            check_output_name(output, origin)
            self._take("output", output.lower(), output, origin)  # GitHub compares outputs' names without case
        if file is not None:
            self._take("file", file, ascii(file), origin)

    def _take(self, what: str, key: str, name: str, origin: Origin) -> None:
        other = self._taken.setdefault((what, key), origin)
        if other is not origin:
            raise UsageError(
                f"{origin}: the {what} {name} is asked for twice",
                cause=f"{other} asks for it too, and only one of the two would arrive",
                change="give one of them another name",
                docs="duplicate-name",
            )


def check_read(deliver: Deliver) -> None:
    """Whether its manager takes the reference and its options. Raises :class:`UsageError`, located."""
    try:
        MANAGERS.load(deliver.read.scheme).check(deliver.read)
    except UsageError as error:
        raise located(error, deliver.origin) from None
