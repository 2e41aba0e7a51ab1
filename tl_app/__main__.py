"""`python -m tl_app` is `tl-app`."""

from __future__ import annotations

import sys

from tl_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
