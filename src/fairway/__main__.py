"""`python -m fairway` is `fairway`, for where the program is not on the PATH."""

import sys

from fairway.cli import main

sys.exit(main())
