"""Where a distillation starts: images, soft labels and inner rates."""
