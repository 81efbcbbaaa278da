"""How the fakes of vendors look at an identity token: as a relying party does, with the issuer's published keys.

    verifier = Verifier(issuer, "sts.amazonaws.com", subject="repo:acme/trainer:ref:refs/heads/main")
    claims, reason = verifier.check(token)      # ({...}, None) or (None, "audience")

What it can't show: a vendor's caching of keys, its leeway for clocks, and its limits on a token's size.
"""

from collections.abc import Mapping
from typing import Any

import jwt

from tests.fakes.github_oidc import OIDCIssuer


class Verifier:
    """Trusts one issuer, one audience, one subject (or any, if None), and exact values of further claims."""

    def __init__(
        self,
        issuer: OIDCIssuer,
        audience: str,
        subject: str | None = None,
        claims: Mapping[str, str] | None = None,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.subject = subject
        self.claims = dict(claims or {})

    def check(self, token: str) -> tuple[dict[str, Any] | None, str | None]:
        """The claims, or why not: malformed, signature, expired, issuer, audience, subject, or a claim's name."""
        try:
            header = jwt.get_unverified_header(token)
            keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(self.issuer.jwks()).keys}
            if header.get("kid") not in keys:
                return None, "signature"
            found: dict[str, Any] = jwt.decode(
                token,
                keys[header["kid"]],
                algorithms=["RS256"],
                audience=self.audience,
                issuer=self.issuer.url,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.InvalidSignatureError:
            return None, "signature"
        except jwt.ExpiredSignatureError:
            return None, "expired"
        except jwt.InvalidIssuerError:
            return None, "issuer"
        except jwt.InvalidAudienceError:
            return None, "audience"
        except jwt.PyJWTError:
            return None, "malformed"
        if self.subject is not None and found["sub"] != self.subject:
            return None, "subject"
        for name, value in self.claims.items():
            if found.get(name) != value:
                return None, name
        return found, None
