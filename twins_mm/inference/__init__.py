"""Predictions for images of one's own: frames in, pictures and files out."""
