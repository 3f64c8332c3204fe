"""Doctor of a cluster: what each machine tells of itself, what is wrong with it, and the cure."""
