"""`python -m vaelab.app ARGS` trains. `vaelab train ARGS` and the cells of sweeps run this."""

from vaelab.app.main import main

if __name__ == "__main__":
    main()
