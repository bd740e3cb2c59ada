"""Runs sweeps: many runs, each in its own process and folder. They resume after an interruption, and are compared."""
