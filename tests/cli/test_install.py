"""`make install` on a Python that Debian cut: no ensurepip, and at worst no pip."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT = """
[project]
name = "thing"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = textwrap.dedent(
    """
    import zipfile

    def build_editable(folder, settings=None, metadata=None):
        with zipfile.ZipFile(f"{folder}/thing-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("thing.py", "HERE = True")
            wheel.writestr("thing-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1\\n")
            tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
            wheel.writestr("thing-1.dist-info/WHEEL", tags)
            wheel.writestr("thing-1.dist-info/RECORD", "")
        return "thing-1-py3-none-any.whl"
    """
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one module that the same installer installs: the real one would take a minute."""
    shutil.copytree(REPOSITORY / "tools", tmp_path / "tools")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path


def cut_python(folder: Path, *, without: set[str]) -> Path:
    """This Python's program and library once more, by links, without some of its parts."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = Path(sys.base_prefix)
    library = folder / "lib" / version
    (folder / "bin").mkdir(parents=True)
    library.mkdir(parents=True)
    shutil.copy2(home / "bin" / version, folder / "bin" / version)  # a link would lead back to the whole library
    for part in (home / "lib").iterdir():
        if part.name != version:
            (folder / "lib" / part.name).symlink_to(part)
    for part in (home / "lib" / version).iterdir():
        if part.name not in without:
            (library / part.name).symlink_to(part)
    for part in without & {"site-packages", "dist-packages"}:  # Debian's pip lies beside the versions
        (folder / "lib" / "python3").unlink(missing_ok=True)
        (library / part).mkdir()
    return folder / "bin" / version


def install(project: Path, *, without: set[str]) -> subprocess.CompletedProcess[str]:
    python = cut_python(project / "python", without=without)
    absent = "import importlib.util as u, sys; sys.exit(u.find_spec('ensurepip') is not None)"
    assert subprocess.run([python, "-c", absent], check=False).returncode == 0
    return subprocess.run(
        ["sh", "tools/install.sh", ".venv", "requirements.txt"],
        cwd=project,
        env={**os.environ, "PYTHON": str(python), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_ensurepip_the_systems_pip_installs(project: Path) -> None:
    done = install(project, without={"ensurepip"})
    assert done.returncode == 0, done.stderr
    found = subprocess.run([project / ".venv/bin/python", "-c", "import thing; print(thing.HERE)"],
                           cwd=project / ".venv", capture_output=True, text=True, check=True)  # fmt: skip
    assert found.stdout == "True\n"


def test_without_ensurepip_and_pip_it_says_what_to_install(project: Path) -> None:
    done = install(project, without={"ensurepip", "site-packages", "dist-packages"})
    assert done.returncode == 1
    assert "apt-get install python3-pip" in done.stderr
    assert "Traceback" not in done.stderr
