"""``python -m astrollava_training``."""

import sys

from astrollava_training.cli import main

if __name__ == "__main__":
    sys.exit(main())
