"""`python -m handpose_client`: the same as `hand-pose`."""

import sys

from handpose_client.cli import main

sys.exit(main())
