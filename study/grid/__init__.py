"""The cells of a study, their chains, and the scores that trials are compared by."""
