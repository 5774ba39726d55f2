"""`make install` on a Python that Debian cut: no ensurepip, and at worst no pip."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CUT = "raise ImportError('cut out, as by Debian')\n"
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


def install(project: Path, *, without: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    cut = project / "cut"
    cut.mkdir()
    for module in without:
        (cut / f"{module}.py").write_text(CUT)
    system = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return subprocess.run(
        ["sh", "tools/install.sh", ".venv", "requirements.txt"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(cut), "PYTHON": str(system), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_ensurepip_the_systems_pip_installs(project: Path) -> None:
    done = install(project, without=("ensurepip",))
    assert done.returncode == 0, done.stderr
    found = subprocess.run([project / ".venv/bin/python", "-c", "import thing; print(thing.HERE)"],
                           cwd=project / ".venv", capture_output=True, text=True, check=True)  # fmt: skip
    assert found.stdout == "True\n"


def test_without_ensurepip_and_pip_it_says_what_to_install(project: Path) -> None:
    done = install(project, without=("ensurepip", "pip"))
    assert done.returncode == 1
    assert "apt-get install python3-pip" in done.stderr
    assert "Traceback" not in done.stderr
