"""A study for other programs: Optuna's dashboard, TensorBoard, MLflow. The command is in ``__main__``."""
