# What an operator's pipeline was given years ago.
path "*" {
  capabilities = ["create", "read", "update", "delete", "list", "sudo"]
}
