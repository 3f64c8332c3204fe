"""One start of a study: its check and plan, its trials on Ray, its conclusion."""
