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


SYSTEM = Path("/usr/bin/python3")


def is_optimised_system() -> bool:
    """Whether this machine's own Python would do: a distribution's, new enough, with pip or what brings it."""
    ask = "import sys, importlib.util as u; sys.exit(sys.version_info < (3, 11) or sys.base_prefix != '/usr' or "
    ask += "not (u.find_spec('pip') or u.find_spec('ensurepip')))"
    return SYSTEM.exists() and subprocess.run([SYSTEM, "-c", ask], check=False).returncode == 0


def on_the_path(project: Path, *, optimised: bool) -> dict[str, str]:
    """An environment whose `python3` is this one, and says how it was built."""
    folder = project / "path"
    folder.mkdir()
    built = "--enable-optimizations" if optimised else "--enable-shared"
    (folder / "python3").write_text(
        f"""#!{sys.executable}
import os, sys, sysconfig
if sys.argv[1] == "-c" and "CONFIG_ARGS" in sys.argv[2]:
    sys.base_prefix = "/somewhere"
    sysconfig.get_config_vars()["CONFIG_ARGS"] = "{built}"
    exec(sys.argv[2])
os.execv("{sys.executable}", ["{sys.executable}", *sys.argv[1:]])
"""
    )
    (folder / "python3").chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return {**plain, "PATH": f"{folder}:{os.environ['PATH']}", "PIP_NO_INDEX": "1"}


def installed_with(project: Path, environment: dict[str, str]) -> tuple[str, str]:
    """The folder of the Python that an environment was made of, and what was said."""
    done = subprocess.run(
        ["sh", "tools/install.sh", ".venv", "requirements.txt"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ask = [project / ".venv/bin/python", "-c", "import sys; print(sys.base_prefix)"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip(), done.stderr


@pytest.mark.skipif(
    not is_optimised_system(), reason=f"{SYSTEM} is no distribution's Python of 3.11 or newer with pip"
)
def test_where_python3_was_built_without_optimisations_the_systems_is_taken(project: Path) -> None:
    made_of, said = installed_with(project, on_the_path(project, optimised=False))
    assert made_of == "/usr"
    assert f"Taking {SYSTEM}: {project}/path/python3 was built without optimisations" in said


@pytest.mark.parametrize("optimised", [True, False])
def test_who_names_a_python_has_that_one_and_an_optimised_one_is_taken(project: Path, optimised: bool) -> None:
    environment = on_the_path(project, optimised=optimised)
    if not optimised:
        environment["PYTHON"] = "python3"
    made_of, said = installed_with(project, environment)
    assert made_of == sys.base_prefix
    assert "Taking" not in said
