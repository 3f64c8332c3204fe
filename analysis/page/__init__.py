"""The page of a study: its pieces, its HTML, and what changes while the study runs."""
