"""Data sets: the known ones, whether they are in place, and a user's own, checked and used."""
