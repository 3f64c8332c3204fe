"""Search: which trial of a study comes next."""
