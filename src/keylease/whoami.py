"""`keylease whoami`: the job's identity, and the trust to create for it. Claims are shown, the token never."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TextIO

from keylease.context import Context
from keylease.errors import ExitCode, KeyleaseError
from keylease.identity.source import IdentitySource
from keylease.model import IdentityToken, Plan
from keylease.outputs.console import emit, one_line, sanitize, table
from keylease.pipelines.whoami import Advice, advise, token_or_other


def show_whoami(plan: Plan, context: Context, tokens: IdentitySource, options: argparse.Namespace) -> int:
    """Print it all; the exit code is that of the first provider without a token, or 0."""
    advices = list(advise(plan, context, tokens, options.audience))
    if not any(advice.audience or advice.token or advice.error for advice in advices):
        token, error = token_or_other(tokens, options.audience or "")
        audience = options.audience or (token.audience if token else None)
        advices.insert(0, Advice("", "", audience, token, None, error))
    verified = [_verified(advice, context) if options.verify else None for advice in advices]
    if options.format == "json":
        _print_json(advices, verified, tokens, sys.stdout)
    else:
        _print_text(advices, verified, tokens, sys.stdout)
    for advice in advices:
        if advice.error:
            raise advice.error
    return ExitCode.OK


def _verified(advice: Advice, context: Context) -> str | None:
    if advice.token is None:
        return None
    from keylease.identity.verify import verify

    found = verify(advice.token, context)
    return f"{found.algorithm}, key {one_line(found.key_id, 80)} of {one_line(found.issuer, 200)}"


def _print_text(advices: Sequence[Advice], verified: Sequence[str | None], tokens: IdentitySource, out: TextIO) -> None:
    facts = tokens.environment_facts()
    emit(out, f"platform     {one_line(tokens.platform() or 'none')}\n")
    for name, value in facts.items():
        if name != "platform":
            emit(out, f"{one_line(name):<12} {one_line(value)}\n")
    shown: set[str] = set()
    for advice, signature in zip(advices, verified, strict=True):
        title = f"{advice.provider} ({advice.kind})" if advice.provider else "this job's token"
        emit(out, f"\n{title}\n")
        if advice.error:
            wanted = f" for audience {one_line(advice.audience)}" if advice.audience else ""
            emit(out, f"  no token{wanted}: {one_line(advice.error.summary)}\n")
            if advice.token:
                emit(out, "  the token that is there:\n")
        elif advice.token is None:
            emit(out, "  logs in without an identity token\n")
        if advice.token is None:
            continue
        if signature:
            emit(out, f"  signature good: {signature}\n")
        _print_claims(advice.token, tokens, shown, out)
        for note in advice.trust.notes if advice.trust and not advice.trust.text else ():
            emit(out, f"  note: {one_line(note)}\n")
    if not any(advice.provider for advice in advices):
        emit(out, "\nno role to show: no server is named; add --url https://vault.example.com --role NAME\n")
    _print_trusts(advices, out)


def _print_trusts(advices: Sequence[Advice], out: TextIO) -> None:
    """All that is to be pasted, at the end and with nothing but comments in between: it is pasted to the end."""
    for advice in advices:
        if advice.trust and advice.trust.text:
            title = f"{advice.provider} ({advice.kind}): {advice.trust.title}"
            emit(out, f"\n# {one_line(title)}, the narrowest trust for this job.\n")
            emit(out, sanitize(advice.trust.text) + "\n")
            for note in advice.trust.notes:
                emit(out, f"# {one_line(note)}\n")


def _print_claims(token: IdentityToken, tokens: IdentitySource, shown: set[str], out: TextIO) -> None:
    # Tokens of one job differ in `aud` and a few numbers: the table once, then the audience alone.
    subject = json.dumps([token.claims.get("iss"), token.claims.get("sub")])
    if subject in shown:
        emit(out, f"  the same claims, with aud {one_line(str(token.claims.get('aud')))}\n")
        return
    shown.add(subject)
    rows = [("claim", "value", "meaning"), *tokens.explain(token.claims)]
    emit(out, table(rows))


def _print_json(advices: Sequence[Advice], verified: Sequence[str | None], tokens: IdentitySource, out: TextIO) -> None:
    report = {
        "version": 1,
        "platform": tokens.platform(),
        "facts": tokens.environment_facts(),
        "identities": [
            {
                "provider": advice.provider or None,
                "type": advice.kind or None,
                "audience": advice.audience,
                "claims": dict(advice.token.claims) if advice.token else None,
                "signature": signature,
                "trust": {"title": advice.trust.title, "text": advice.trust.text, "notes": list(advice.trust.notes)}
                if advice.trust
                else None,
                "error": _error(advice.error),
            }
            for advice, signature in zip(advices, verified, strict=True)
        ],
    }
    # `##[` would be a workflow command wherever it stands in a line (see console.sanitize); in JSON it can be escaped.
    emit(out, json.dumps(report, indent=2).replace("##", "#\\u0023") + "\n")


def _error(error: KeyleaseError | None) -> dict[str, str] | None:
    return None if error is None else {"summary": error.summary, "cause": error.cause, "change": error.change}
