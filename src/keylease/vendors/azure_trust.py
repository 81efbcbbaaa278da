"""The narrowest federated credential for one job at Microsoft Entra.

https://learn.microsoft.com/graph/api/application-post-federatedidentitycredentials
https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.model import Read, Trust
from keylease.vendors.azure_settings import AzureSettings
from keylease.vendors.azure_vault import ROLE, VaultSecret, grant_command, target_of
from keylease.vendors.github_claims import parse_subject
from keylease.vendors.job_claims import GITHUB, GITLAB, bindable, heredoc, json_block, platform_of, subject_lets_in
from keylease.vendors.token_exchange import audience_of

_LONGEST = 600
"""Characters of an issuer, subject or audience ("has a limit of 600 characters")."""


def trust_for(claims: Mapping[str, Any], settings: AzureSettings, reads: Sequence[Read] = ()) -> Trust:
    """The command that creates a credential for exactly this job, and those that let it read `reads`, each alone.

    Entra compares issuer, subject and audience letter for letter, and no other claim: ids can only be bound where
    `sub` holds them.
    """
    s = settings
    title = f"Azure federated credential of application {s.client_id}"
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not bindable(issuer) or not bindable(subject):
        return Trust(title, "", ["the token has no `iss` or no `sub` that could be bound"])
    expected = audience_of(claims, s.audience)
    bound = (str(issuer), str(subject), expected)
    if any(len(text) > _LONGEST or "*" in text for text in bound):
        return Trust(title, "", [f"`iss`, `sub` or `aud` holds a * or is longer than {_LONGEST} characters"])
    alone, more = subject_lets_in(claims)
    if not alone:
        return Trust(title, "", more)
    credential = {
        "name": f"keylease-{hashlib.sha256(chr(10).join(bound).encode()).hexdigest()[:12]}",
        "issuer": issuer,
        "subject": subject,
        "audiences": [expected],
    }
    command = f"az ad app federated-credential create --id {s.client_id} --parameters @-"
    notes = [
        *more,
        "a managed identity takes the same issuer, subject and audience: az identity federated-credential create",
        "a new credential can take some minutes to work everywhere; an application has 20 at the most",
    ]
    platform = platform_of(claims)
    if platform is GITHUB and parse_subject(str(subject)).form == "name":
        notes.append("a sub of names also lets in whoever takes over the name: the immutable form closes that")
    if platform in (GITHUB, GITLAB):
        notes.append(
            "for more subjects, or job_workflow_ref, Entra has flexible federated credentials: written by hand, for a "
            "pattern lets in more jobs than this one"
        )
    if expected != s.audience:
        notes.append("the credential expects the aud of the token that is there: configure the same as audience")
    text = heredoc(command, json_block(credential))
    secrets = list(dict.fromkeys((found.vault.lower(), found.name.lower()) for found in map(target_of, reads)))
    if secrets:
        roles = [grant_command(s, VaultSecret(vault, name)) for vault, name in secrets]
        text = "\n".join([text, "# What the job reads, each secret alone (the vault uses Azure RBAC).", *roles])
        notes.append(f"the role {ROLE!r} opens one secret each; an access policy would open all of a vault")
    return Trust(title, text, notes)
