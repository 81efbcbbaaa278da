#!/bin/sh
# The role and the policies for deploy.yml. Needs BAO_ADDR, and a BAO_TOKEN that may write both. It replaces what has
# these names already.
set -eu
audience=https://vault.example.com # the address as jobs use it: scheme, host and port, no slash at the end
owner_id=6539                      # gh api repos/OWNER/REPOSITORY --jq .owner.id
repository_id=817264               # gh api repos/OWNER/REPOSITORY --jq .id

# What a job needs to clean up after itself. All roles can share it.
bao policy write keylease-self - <<'END'
path "auth/token/revoke-self" { capabilities = ["update"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
END

# What this job may read: API paths, so with `data/` for KV v2.
bao policy write deploy - <<'END'
path "secret/data/ci" { capabilities = ["read"] }
path "database/creds/app" { capabilities = ["read"] }
END

# Who gets it: jobs of this repository, by its ids, that run for the branch main.
bao write auth/jwt/role/deploy - <<END
{
  "role_type": "jwt",
  "bound_audiences": ["$audience"],
  "bound_claims_type": "string",
  "bound_claims": {
    "repository_owner_id": "$owner_id",
    "repository_id": "$repository_id",
    "ref": "refs/heads/main"
  },
  "user_claim": "repository_id",
  "claim_mappings": {"repository": "repository", "run_id": "run_id", "actor": "actor"},
  "token_policies": ["keylease-self", "deploy"],
  "token_no_default_policy": true,
  "token_type": "service",
  "token_ttl": "15m",
  "token_max_ttl": "1h"
}
END
