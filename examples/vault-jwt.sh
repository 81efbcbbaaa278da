#!/bin/sh
# Once per server: let it check the identity tokens that GitHub signs. Needs BAO_ADDR, and a BAO_TOKEN that may do this.
set -eu
bao auth enable jwt
bao write auth/jwt/config \
    oidc_discovery_url=https://token.actions.githubusercontent.com \
    bound_issuer=https://token.actions.githubusercontent.com
