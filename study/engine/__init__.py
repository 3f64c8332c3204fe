"""The engine of a study: check and plan it, run its trials on Ray, write its records and page."""
