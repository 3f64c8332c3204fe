"""Export of a study to Optuna's dashboard, TensorBoard and MLflow. The command is in ``__main__``."""
