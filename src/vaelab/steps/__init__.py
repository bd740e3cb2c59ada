"""One optimiser step, fast: torch alone, no Lightning."""
