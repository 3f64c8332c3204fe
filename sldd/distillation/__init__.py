"""Dataset distillation: the unrolled inner steps, and the images, soft labels and inner rates learned through them."""
