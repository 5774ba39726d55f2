"""On the path of every process that the tests start: records what it says to databases and whom it connects to."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))  # noqa: PTH118, PTH120 - cheap at every start
with contextlib.suppress(ImportError):
    import recorder

    recorder.install()
sys.path.pop(0)
