"""A run's folder on disk: written by train.py, read by everything that uses a trained model."""
