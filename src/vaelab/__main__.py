"""`python -m vaelab` is the `vaelab` command."""

from vaelab.app.cli import main

if __name__ == "__main__":
    main()
