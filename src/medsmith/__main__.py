"""``python -m medsmith``."""

import sys

from medsmith.cli import main

if __name__ == "__main__":
    sys.exit(main())
