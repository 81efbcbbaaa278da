"""What this job is, to a provider: its claims, and the narrowest trust for it."""

from collections.abc import Sequence

from msgspec import Struct

from keylease.context import Context
from keylease.errors import IdentityError, KeyleaseError
from keylease.exchange.base import Exchanger
from keylease.model import IdentityToken, Plan, Trust
from keylease.pipelines.lease import TokenSource
from keylease.registry import EXCHANGERS


class Advice(Struct, frozen=True):
    """What to set up at one provider.

    error: why no token could be had for its audience; `token` and `trust` are then of the token that is there, if any.
    """

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
        kind = EXCHANGERS.load(provider.type)
        exchanger = kind(provider.name, provider.settings, context, plan.reads(provider.name))
        wanted = audience or exchanger.audience()
        if wanted is None:
            advices.append(_of_own_token(exchanger))
            continue
        token, error = token_or_other(tokens, wanted)
        trust = exchanger.trust(token.claims) if token else None
        advices.append(Advice(provider.name, provider.type, wanted, token, trust, error))
    return advices


def _of_own_token(exchanger: Exchanger) -> Advice:
    try:
        token = exchanger.own_token()
    except KeyleaseError as error:
        return Advice(exchanger.name, exchanger.kind, None, None, None, error)
    return Advice(exchanger.name, exchanger.kind, None, token, exchanger.trust(token.claims) if token else None)


def token_or_other(tokens: TokenSource, audience: str) -> tuple[IdentityToken | None, KeyleaseError | None]:
    """The token for `audience`; else the reason why not, and the token that is there for another one, if any."""
    try:
        return tokens.token(audience), None
    except KeyleaseError as error:
        refused = error
    if audience and isinstance(refused, IdentityError):
        try:
            return tokens.token(""), refused
        except KeyleaseError:
            pass  # the first reason is the one to tell
    return None, refused
