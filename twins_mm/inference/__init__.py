"""Predictions for the user's images: frames in, pictures and files out."""
