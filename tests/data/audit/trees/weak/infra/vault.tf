resource "vault_jwt_auth_backend" "github" {
  path               = "github"
  oidc_discovery_url = "https://token.actions.githubusercontent.com"
}

resource "vault_jwt_auth_backend_role" "deploy" { # <- vault-role-wildcard high, vault-role-no-audience medium
  backend           = vault_jwt_auth_backend.github.path
  role_name         = "deploy"
  role_type         = "jwt"
  user_claim        = "repository"
  bound_claims_type = "glob"
  bound_claims      = { repository = "acme*" }
  token_policies    = ["deploy"]
  token_ttl         = 900
  token_max_ttl     = 3600
}

resource "vault_policy" "deploy" {
  name   = "deploy"
  policy = <<-EOT
    path "secret/data/shop/*" {
      capabilities = ["read"]
    }
  EOT
}

resource "vault_policy" "operators" {
  name   = "operators"
  policy = "path \"*\" { capabilities = [\"read\", \"update\", \"sudo\"] }" # <- vault-policy-everything critical
}
