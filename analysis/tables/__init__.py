"""Tables of a study, by themselves or beside published ones."""
