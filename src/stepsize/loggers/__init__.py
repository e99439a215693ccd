"""Writers of metrics.csv and of TensorBoard event files."""
