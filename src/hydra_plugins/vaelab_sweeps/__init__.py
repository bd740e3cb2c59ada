"""What Hydra calls for a sweep; the work is done in vaelab.sweeps."""
