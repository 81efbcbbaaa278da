"""What a sync decides: which values belong where, what is ours there, and what to change. No I/O."""
