"""What a backbone sees, as a figure."""
