resource "vault_jwt_auth_backend" "github" {
  path               = "github"
  oidc_discovery_url = "https://token.actions.githubusercontent.com"
}

resource "vault_jwt_auth_backend_role" "deploy" {
  for_each        = var.repositories
  backend         = vault_jwt_auth_backend.github.path
  role_name       = each.key
  role_type       = "jwt"
  user_claim      = "repository"
  bound_audiences = ["https://vault.example.com"]
  bound_claims    = { repository = "acme/${each.key}", environment = "production" }
  token_policies  = [each.key]
  token_ttl       = 900
  token_max_ttl   = 3600
}

resource "vault_jwt_auth_backend_role" "people" {
  backend               = "oidc"
  role_name             = "people"
  role_type             = "oidc"
  user_claim            = "email"
  bound_claims          = { groups = "operators" }
  allowed_redirect_uris = ["https://vault.example.com/ui/vault/auth/oidc/oidc/callback"]
  token_policies        = ["operators"]
}

resource "vault_policy" "shop" {
  name   = "shop"
  policy = <<-EOT
    path "secret/data/shop/*" {
      capabilities = ["read"]
    }
    path "auth/token/renew-self" {
      capabilities = ["update"]
    }
    path "sys/leases/revoke" {
      capabilities = ["update"]
    }
  EOT
}
