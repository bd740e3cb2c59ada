"""Train a VAE, then score it: python train.py [GROUP=OPTION] [key=value] [-m] | resume=RUN.

`vaelab train` does the same from any folder.
"""

from vaelab.app.main import main

if __name__ == "__main__":
    main("python train.py")
