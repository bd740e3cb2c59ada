"""Sweeps, between Hydra and vaelab.sweeps: Hydra's sweepers and launchers ask for cells, and each cell is a process."""
