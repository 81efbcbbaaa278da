"""Identity token in, lease out: one file per provider."""
