"""Export of a study to Optuna, TensorBoard, MLflow and W&B, after it (``__main__``) or while it runs (``live``)."""
