"""Many runs: each in a process and a folder of its own, gone on with where they ended, and compared."""
