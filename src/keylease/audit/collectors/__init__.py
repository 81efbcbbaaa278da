"""Where inventory comes from: files of the repository, and later the platforms. Read-only; metadata, never a value."""
