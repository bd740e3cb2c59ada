"""Runs on disk: a run's folder is written by training, and read by everything that uses a trained model."""
