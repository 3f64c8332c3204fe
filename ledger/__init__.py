"""Files of a study: trials, results, checkpoints, lease and schema, on a disk or an object store."""
