"""What a server imports stays: the garbage collector neither runs for it nor looks through it later."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidings.platform.importing import importing


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_garbage_is_looked_for_again_after_the_imports_and_not_in_them() -> None:
    with importing():
        assert not gc.isenabled()
        kept = [object()]
    assert gc.isenabled()
    assert not any(one is kept for one in gc.get_objects())  # it is out of every generation


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ModuleNotFoundError), importing():
        import tidings.nowhere  # type: ignore[import-not-found]  # noqa: F401
    assert gc.isenabled()


def test_the_module_that_is_named_runs_by_its_main(tmp_path: Path) -> None:
    (tmp_path / "named.py").write_text(
        "import gc\n\n\ndef main():\n    print(gc.isenabled(), gc.get_freeze_count() > 0)\n"
    )
    command = [sys.executable, "-m", "tidings.platform.importing", "named"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
