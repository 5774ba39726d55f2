"""Each service lifts out: in a tree with only platform, contracts and that service, its tests pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "src/tidings/services").glob("*/service.py"))
NEEDED = ("contracts", "platform", "__init__.py", "services/__init__.py")
HARNESS = (
    "conftest.py",
    "boundaries/recorder.py",
    "boundaries/site",
    "harness/__init__.py",
    "harness/lone.py",
    "harness/lone_process.py",
    "harness/mongod.py",
    "harness/pictures.py",
    "harness/waiting.py",
    "harness/schedule.py",
    "harness/sharing.py",
    "services/conftest.py",
)

# All of a service's tests are collected there, so all that they import has to be there; these of them are run,
# with the service in a process of its own.
RUN = "(rules or contract or sessions) and not wire and not 5000"

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


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Python that knows the tree and the installed packages, and nothing of this repository.

    `-S` leaves out the `.pth` file by which the repository is installed.
    """
    path = (folder / "src", folder, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return subprocess.Popen(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(one) for one in path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def python(folder: Path, *arguments: str) -> tuple[int, str]:
    """Its exit status and what it said."""
    process = start(folder, *arguments)
    said, _ = process.communicate()
    return process.returncode, said


@dataclass(frozen=True)
class Lifted:
    """A tree, and the run of the service's tests in it."""

    tree: Path
    tests: subprocess.Popen[str]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Lifted]]:
    """One for each service; all run side by side, since each waits for a database of its own."""
    found = {}
    for service in SERVICES:
        tree = lifted(service, tmp_path_factory.mktemp(service))
        run = start(tree, "-m", "pytest", "-q", "-p", "no:schemathesis", "-k", RUN, "tests/services")
        found[service] = Lifted(tree, run)
    yield found
    for one in found.values():
        if one.tests.returncode is None:  # its own test failed before it waited for this
            one.tests.communicate()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_and_its_tests_live_without_the_others(trees: dict[str, Lifted], service: str) -> None:
    tree = trees[service].tree
    status, said = python(tree, "-c", IMPORTS_EVERYTHING, service, str(tree))
    assert status == 0, said

    others = [f"tidings.services.{one}" for one in SERVICES if one != service]
    status, said = python(tree, "-c", FINDS_NOTHING_ELSE, "tidings.everything", "tidings.edge", *others)
    assert status == 0, said
    status, said = python(tree, "-c", FINDS_NOTHING_ELSE, f"tidings.services.{service}")
    assert (status, said) == (1, f"tidings.services.{service} is here\n")

    said, _ = trees[service].tests.communicate()
    assert trees[service].tests.returncode == 0, said
    assert " passed" in said


def test_a_service_that_leans_on_another_does_not_lift(tmp_path: Path) -> None:
    tree = lifted("timeline", tmp_path)
    views = tree / "src/tidings/services/timeline/views.py"
    views.write_text(f"{views.read_text()}\nfrom tidings.services.friends import rules as theirs\n")

    status, said = python(tree, "-c", IMPORTS_EVERYTHING, "timeline", str(tree))
    assert status == 1
    assert "No module named 'tidings.services.friends'" in said
