"""What the doctor says of the Python that runs all of it."""

from __future__ import annotations

import sys
import sysconfig

import pytest

from tidings.cli import doctor

BUILT = {"/usr": "--enable-shared", "/opt/one": "--enable-optimizations --with-lto", "/opt/slow": "--enable-shared"}


@pytest.mark.parametrize("prefix", BUILT)
def test_a_python_without_optimisations_is_worth_a_word(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": BUILT[prefix]}.get)
    found = doctor._python()
    if prefix == "/opt/slow":
        assert found.state == "warning"
        assert "/opt/slow was built without optimisations" in found.detail
        assert "another Python" in found.mend
    else:
        assert (found.state, found.mend) == ("ok", "")
