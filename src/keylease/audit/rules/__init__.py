"""One rule, one file: what it needs, what it finds, why that matters and how to mend it."""
