"""Evaluation on matched pairs: people who really moved, and the still scan of each to compare with."""
