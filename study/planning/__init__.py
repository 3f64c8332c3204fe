"""What a study will cost, what it needs, and what it may spend, before its first trial."""
