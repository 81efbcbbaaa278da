path "sys/leases/*" {
  capabilities = ["read", "update", "list", "sudo"]
}
