"""Credentials that a collector's own settings name: ``token_env: VARIABLE``, or ``token: {secret: …}``."""

from typing import Annotated, Any

import msgspec

from keylease.context import Context
from keylease.errors import UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.token_exchange import attempts

DOCS = "audit-services"

Sealed = Annotated[Secret, msgspec.Meta(extra_json_schema={"not": {}, "description": "never written in a file"})]
"""The type of such a setting."""


def common(vendor: str, settings: Any, docs: str = DOCS) -> dict[str, Any]:
    """`timeout` and `retries`, checked. Raises :class:`UsageError`."""
    timeout, retries = attempts(vendor, settings.timeout, settings.retries, docs=docs)
    return {"timeout": timeout, "retries": retries}


def variable_checked(
    vendor: str, settings: Any, name: str, env: Env, *, required: bool = True, docs: str = DOCS
) -> None:
    """Whether exactly one of `NAME` and `NAME_env` is there, and the variable holds one word.

    required: else there may be none. Raises :class:`UsageError`.
    """
    variable = getattr(settings, f"{name}_env")
    if getattr(settings, name) is not None and variable is not None:
        raise UsageError(f"{vendor}: `{name}` and `{name}_env` are two credentials", change="give one", docs=docs)
    if variable is None:
        if required and getattr(settings, name) is None:
            raise UsageError(
                f"{vendor}: there is no credential to ask with",
                change=f"{name}_env: VARIABLE, or {name}: {{secret: vault://MOUNT/PATH#FIELD}}",
                docs=docs,
            )
        return
    value = env.get(variable, "").strip()
    if not value:
        raise UsageError(
            f"{vendor}: `{name}_env`: the variable {variable} is not set, or empty",
            change=f"hand it to the step:\n\nenv:\n  {variable}: ${{{{ secrets.{variable} }}}}",
            docs=docs,
        )
    _one_word(vendor, value, f"`{name}_env`: what {variable} holds", docs)


def secret_of(vendor: str, settings: Any, name: str, context: Context, docs: str = DOCS) -> Secret | None:
    """The credential, sealed; None if none is given. Raises :class:`UsageError` for what can't be one."""
    variable = getattr(settings, f"{name}_env")
    if variable is not None:
        return context.seal(context.env[variable].strip(), variable)
    given: Secret | None = getattr(settings, name)
    if given is not None:
        _one_word(vendor, given.reveal() if given.is_text else "", f"`{name}`: what was read for it", docs)
    return given


def _one_word(vendor: str, value: str, what: str, docs: str) -> None:
    """It goes into a header."""
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(f"{vendor}: {what} is no credential", change="it is one word", docs=docs)
