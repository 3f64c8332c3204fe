"""Terminal output of a study: dry run, progress, the table at its end."""
