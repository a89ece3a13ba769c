"""`python -m scorefield`."""

import sys

from scorefield.core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
