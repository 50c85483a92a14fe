"""`python -m ddx_agent` is the command `ddx`."""

import sys

from ddx_agent.cli import main

sys.exit(main())
