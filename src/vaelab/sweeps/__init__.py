"""Many runs, each in its own process and folder, which resume if they are interrupted, and are compared."""
