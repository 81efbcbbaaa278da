# All of sys but what would make its holder root.
path "sys/*" {
  capabilities = ["read", "list"]
}

path "sys/policies/*" {
  capabilities = ["deny"]
}

path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
