"""One distillation from end to end: a cohort, its task's data, the outer loop, the package, and what receivers get."""
