"""Files: images are read, others written whole, and ours are found."""
