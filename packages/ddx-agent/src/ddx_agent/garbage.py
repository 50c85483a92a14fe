"""The garbage collector's habits in the agent's process.

A full collection looks at every object there is. With 100,000 metric contexts that takes tens of milliseconds, in which
nothing is received, and it finds nothing: what the agent holds is freed by its reference counts. Cycles are made by the
libraries beneath it, tracebacks above all, and die young.
"""

from __future__ import annotations

import gc

# New containers before the youngest are looked at, then how many such looks before the middle and the old generation.
thresholds = (5_000, 10, 1_000)


def settle() -> None:
    """Call once, when what lives as long as the process has been made: it is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
    gc.enable()
