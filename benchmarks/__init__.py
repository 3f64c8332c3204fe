"""What the project promises about speed, memory and accuracy, measured on the machine at hand."""
