"""Everything that CUDA does for a distillation, proven and measured on one device within minutes."""
