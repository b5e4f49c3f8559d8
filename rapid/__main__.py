"""``python -m rapid``."""

import sys

from rapid.cli import main

if __name__ == "__main__":
    sys.exit(main())
