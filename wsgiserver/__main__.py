"""Does for `python -m wsgiserver` what the command `wsgiserver` does; `cli` is next."""

import sys

from wsgiserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
