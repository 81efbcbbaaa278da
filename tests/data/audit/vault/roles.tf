resource "vault_jwt_auth_backend_role" "pull_request" {
  backend         = "jwt"
  role_name       = "pull-request"
  role_type       = "jwt"
  user_claim      = "repository"
  bound_audiences = ["https://bao.example.com"]
  bound_subject   = "repo:acme/trainer:pull_request"
  token_policies  = ["app"]
  token_ttl       = 600
  token_max_ttl   = 1200
}
