"""Connects Hydra's sweepers and launchers to vaelab.sweeps. Each cell of a sweep is a process."""
