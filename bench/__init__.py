"""`make bench`: how long a cold lease takes, what it costs, and how fast it fails, beside peers."""
