"""`python -m fairway.cli` is `fairway`."""

import sys

from fairway.cli import main

sys.exit(main())
