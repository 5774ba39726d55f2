"""Each service lifts out: in a tree with only platform, contracts and that service, its tests pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "src/tidings/services").glob("*/service.py"))
NEEDED = ("contracts", "platform", "__init__.py", "services/__init__.py")
HARNESS = ("conftest.py", "boundaries/recorder.py", "boundaries/site", "harness/__init__.py", "harness/lone.py")

# All of a service's tests are collected there, so all that they import has to be there; these of them are run.
RUN = "(rules or contract or sessions) and not 5000"

IMPORTS_EVERYTHING = """
import importlib, pkgutil, sys, tidings

for module in pkgutil.walk_packages(tidings.__path__, "tidings."):
    importlib.import_module(module.name)
assert importlib.import_module(f"tidings.services.{sys.argv[1]}.service")
ours = [module for name, module in sys.modules.items() if name.startswith("tidings")]
assert all(module.__file__.startswith(sys.argv[2]) for module in ours)
"""

FINDS_NOTHING_ELSE = """
import importlib, sys

for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as missing:
        assert missing.name == name
    else:
        sys.exit(f"{name} is here")
"""


def lifted(service: str, folder: Path) -> Path:
    """The smallest tree that `service` and its tests live in."""
    copy_parts(ROOT / "src/tidings", folder / "src/tidings", (*NEEDED, f"services/{service}"))
    copy_parts(ROOT / "tests", folder / "tests", (*HARNESS, f"services/{service}"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def copy_parts(source: Path, target: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / part, target / part)


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python that knows the tree and the installed packages, and nothing of this repository.

    `-S` leaves out the `.pth` file by which the repository is installed.
    """
    path = (folder / "src", folder, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(one) for one in path),
            "HYPOTHESIS_STORAGE_DIRECTORY": "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_lives_in_a_tree_without_the_others(service: str, tmp_path: Path) -> None:
    tree = lifted(service, tmp_path)

    imported = python(tree, "-c", IMPORTS_EVERYTHING, service, str(tree))
    assert imported.returncode == 0, imported.stdout
    others = [f"tidings.services.{one}" for one in SERVICES if one != service]
    alone = python(tree, "-c", FINDS_NOTHING_ELSE, "tidings.everything", "tidings.edge", *others)
    assert alone.returncode == 0, alone.stdout
    assert "tidings.services." in python(tree, "-c", FINDS_NOTHING_ELSE, f"tidings.services.{service}").stdout

    tested = python(tree, "-m", "pytest", "-q", "-k", RUN, "tests/services")
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout


def test_a_service_that_leans_on_another_does_not_lift(tmp_path: Path) -> None:
    tree = lifted("timeline", tmp_path)
    rules = tree / "src/tidings/services/timeline/rules.py"
    rules.write_text(f"{rules.read_text()}\n\ndef late() -> None:\n    import tidings.services.friends.rules\n")
    views = tree / "src/tidings/services/timeline/views.py"
    assert python(tree, "-c", IMPORTS_EVERYTHING, "timeline", str(tree)).returncode == 0  # unseen until it runs
    views.write_text(f"{views.read_text()}\n\nrules.late()\n")
    assert (
        "No module named 'tidings.services.friends'"
        in python(tree, "-c", IMPORTS_EVERYTHING, "timeline", str(tree)).stdout
    )
