"""What became of training runs, beside the paper and the authors' logs."""
