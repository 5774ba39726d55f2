"""What may import what: the contracts hold, and each of them fails on a violation that is planted."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
CONTRACTS = {
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}

# (the contract that breaks, the module that is changed or made, what is added to it)
PLANTS = [
    ("The product is layered", "platform/clock.py", "import tidings.contracts.users"),
    ("The product is layered", "edge/gateway.py", "import tidings.everything"),
    ("The product is layered", "utils.py", ""),
    (
        "Services are independent of one another",
        "services/timeline/views.py",
        "import tidings.services.friends.views",
    ),
    ("Only the list of services imports a service", "edge/gateway.py", "import tidings.services.users.views"),
    ("Only the list of services imports a service", "demo/load.py", "import tidings.services.users.store.postgres"),
    ("A service is layered, and each module has a place", "services/friends/views.py", "from . import actions"),
    ("A service is layered, and each module has a place", "services/friends/rules.py", "from .store import port"),
    ("A service is layered, and each module has a place", "services/friends/helpers.py", ""),
    ("The product is layered", "web/pages/people.py", "import tidings.services.friends.views"),
    ("The product is layered", "services/users/views.py", "import tidings.web.prose"),
    ("The product is layered", "web/shell.py", "from tidings.edge import cookies"),
    ("Only the list of services imports the pages", "edge/gateway.py", "from tidings.web import shell"),
    ("Only the list of services imports the pages", "edge/pages.py", "from tidings.web.rendering import render"),
    ("Only the list of services imports the pages", "cli/up.py", "from tidings.web.assets import ASSETS"),
    ("The web is layered, and each module has a place", "web/words.py", "from . import shell"),
    ("The web is layered, and each module has a place", "web/prose.py", "from . import rendering"),
    ("The web is layered, and each module has a place", "web/refusals.py", "from . import asking"),
    ("The web is layered, and each module has a place", "web/helpers.py", ""),
    ("Pages are made of calls, and do no I/O of their own", "web/pages/reading.py", "import aiohttp"),
    (
        "Pages are made of calls, and do no I/O of their own",
        "web/asking.py",
        "from tidings.platform.engines import postgres",
    ),
    (
        "Storage is for stores and the installation",
        "web/asking.py",
        "from tidings.platform.storage import postgres",
    ),
    ("Database drivers are for storage, engines and stores", "web/pages/own.py", "import asyncpg"),
    (
        "Storage is for stores and the installation",
        "services/friends/actions.py",
        "from tidings.platform.storage import postgres",
    ),
    ("Database drivers are for storage, engines and stores", "services/friends/views.py", "import asyncpg"),
    ("Database drivers are for storage, engines and stores", "cli/main.py", "import sqlalchemy"),
    ("Rules do no I/O", "services/friends/rules.py", "import socket"),
    ("Rules do no I/O", "services/timeline/rules.py", "from tidings.platform import cursors, world"),
    ("Contracts carry no behaviour", "contracts/friends.py", "import json"),
    ("Contracts carry no behaviour", "contracts/users.py", "from tidings.platform import world"),
    ("No cycles", "platform/contract.py", "from tidings.platform import request"),
]


def lint(folder: Path) -> tuple[int, set[str], str]:
    """Exit status, the names of broken contracts, and all that `lint-imports` said of the tree in `folder`."""
    done = subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    broken = {line.partition(" BROKEN")[0] for line in done.stdout.splitlines() if " BROKEN" in line}
    return done.returncode, broken, done.stdout


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its contracts, elsewhere."""
    folder = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def planted(copied: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The same, with one violation."""
    module = copied / "src" / "tidings" / request.param[1]
    before = module.read_text() if module.exists() else None
    module.write_text(f"{before or ''}\n{request.param[2]}\n")
    yield copied
    if before is None:
        module.unlink()
    else:
        module.write_text(before)


def test_every_import_contract_holds() -> None:
    status, broken, said = lint(ROOT)
    assert (status, broken) == (0, set()), said
    assert {line.partition(" KEPT")[0] for line in said.splitlines() if " KEPT" in line} == CONTRACTS


@pytest.mark.parametrize(
    ("planted", "contract"),
    [pytest.param(plant, plant[0], id=f"{plant[1]}: {plant[2] or 'a stray module'}") for plant in PLANTS],
    indirect=["planted"],
)
def test_an_import_contract_fails_on_a_planted_violation(planted: Path, contract: str) -> None:
    status, broken, said = lint(planted)
    assert status == 1, said
    assert contract in broken


def test_every_import_contract_has_a_plant() -> None:
    assert {plant[0] for plant in PLANTS} == CONTRACTS


# Migrations are no modules to the linter, since their names begin with a digit.

MIGRATIONS_MAY_IMPORT = ("__future__", "alembic", "sqlalchemy", "tidings.platform.storage.foundation")


def imports_of(source: str) -> set[str]:
    """The modules that are imported, at any depth; a relative import counts as `.`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else node.module or "")
    return found


def strays(source: str) -> set[str]:
    return {
        name
        for name in imports_of(source)
        if not any(name == allowed or name.startswith(allowed + ".") for allowed in MIGRATIONS_MAY_IMPORT)
    }


def test_migrations_import_the_foundation_and_alembic_alone() -> None:
    migrations = sorted((ROOT / "src/tidings/services").glob("*/migrations/*.py"))
    assert len(migrations) >= 3
    assert {path: strays(path.read_text()) for path in migrations if strays(path.read_text())} == {}
    assert strays("def upgrade():\n  from tidings.services.users import rules") == {"tidings.services.users"}


# A contract is declarations: no function of its own, and no method beyond those of a value.


def behaviour(source: str) -> list[str]:
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_contracts_define_no_function() -> None:
    contracts = sorted((ROOT / "src/tidings/contracts").glob("*.py"))
    assert {path.name: behaviour(path.read_text()) for path in contracts if behaviour(path.read_text())} == {}
    assert behaviour("async def fetch(): ...") == ["fetch"]
