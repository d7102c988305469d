"""Entry point of `python -m pruncam`."""

import sys

from pruncam.cli import main

if __name__ == "__main__":
    sys.exit(main())
