"""What the paper prints, and what this repository's configs cost."""
