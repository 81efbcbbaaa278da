"""What this job is, to a provider: its claims, and the narrowest trust for it."""

from collections.abc import Sequence

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError
from keylease.model import IdentityToken, Plan, Trust
from keylease.pipelines.lease import TokenSource
from keylease.registry import EXCHANGERS


class Advice(Struct, frozen=True):
    """What to set up at one provider; `error` when no token could be had for its audience."""

    provider: str
    kind: str
    audience: str | None
    token: IdentityToken | None
    trust: Trust | None
    error: KeyleaseError | None = None


def advise(plan: Plan, context: Context, tokens: TokenSource, audience: str | None = None) -> Sequence[Advice]:
    """One advice per configured provider. audience: used instead of each provider's own."""
    advices = []
    for provider in plan.providers.values():
        exchanger = EXCHANGERS.load(provider.type)(provider.name, provider.settings, context)
        wanted = audience or exchanger.audience()
        if wanted is None:
            advices.append(Advice(provider.name, provider.type, None, None, None))
            continue
        try:
            token = tokens.token(wanted)
        except KeyleaseError as error:
            advices.append(Advice(provider.name, provider.type, wanted, None, None, error))
            continue
        trust = exchanger.trust(token.claims)
        advices.append(Advice(provider.name, provider.type, wanted, token, trust))
    return advices
