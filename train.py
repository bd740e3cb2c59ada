"""Train a VAE, then score it: python train.py [GROUP=OPTION] [key=value] [-m] | resume=RUN.

`vaelab train` does the same from any folder.
"""

from vaelab.app.main import main

# Hydra's completion script for fish completes only files that mention @hydra.main, as this line does.
if __name__ == "__main__":
    main("python train.py")
