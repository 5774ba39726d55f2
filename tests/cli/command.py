"""The `tidings` command as anybody runs it: a subprocess, its output and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from typer.testing import CliRunner

from tidings.cli.main import app

COMMAND = [sys.executable, "-m", "tidings.cli.main"]
PASSWORD = "correct horse battery"
FAST = {
    "TIDINGS_ARGON2_MEMORY_KIB": "8",
    "TIDINGS_ARGON2_TIME": "1",
    "TIDINGS_SIGNUP": "open",
    "TIDINGS_PORT": "0",
    "TIDINGS_METRICS_PORT": "0",
}
START = 30.0  # seconds
STOP = 15.0


def environment(**more: str) -> dict[str, str]:
    """Without what the developer's shell sets, and with cheap passwords and free ports."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")} | FAST | more


def tidings(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in this process: most of a second is what starting Python takes."""
    command = [str(argument) for argument in arguments]
    unset = dict.fromkeys((name for name in os.environ if name.startswith("TIDINGS_")), None)
    done = CliRunner().invoke(app, command, env={**unset, **FAST, **env}, prog_name="tidings")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


def run_apart(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process of its own as everybody does."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def facts(*arguments: object) -> Any:
    """What a command prints with --json; fails the test when the command does."""
    done = tidings(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(*arguments: object, code: int, **env: str) -> str:
    """The one or two lines of a command that has to fail with `code`."""
    # Servers set up logs and signals of the whole process, unless their options are refused before that.
    run = run_apart if arguments[0] in ("up", "run") and code != 2 else tidings
    done = run(*arguments, **env)
    assert (done.returncode, done.stdout) == (code, ""), (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith(("tidings: ", "         ")), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


class Server:
    """A `tidings up` or `tidings run` under way."""

    def __init__(self, *arguments: object, user: int | None = None, **env: str) -> None:
        self._errors = tempfile.NamedTemporaryFile("w+", prefix="tidings-test-", suffix=".log")  # noqa: SIM115
        self.began = time.monotonic()
        more: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            **more,
        )
        self.card: dict[str, Any] = {}

    @property
    def errors(self) -> str:
        return Path(self._errors.name).read_text()

    @property
    def url(self) -> str:
        return str(self.card["home"])

    def started(self) -> Server:
        """Wait for the card of `up --json`."""
        assert self.process.stdout is not None
        lines = ""
        for line in self.process.stdout:
            lines += line
            if line == "}\n":
                self.card = json.loads(lines)
                return self
        raise AssertionError(self.errors)

    def says(self, text: str) -> None:
        """Wait until the line comes on standard error."""
        until(lambda: text in self.errors, self)

    def family(self) -> list[psutil.Process]:
        """The process and all that it started."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and see that nothing is left of it. The exit status."""
        family = self.family() if self.process.poll() is None else []
        status = self.kill(number)
        assert psutil.wait_procs(family, timeout=STOP)[1] == []
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP)
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()


@contextmanager
def up(data: Path, *arguments: object, **env: str) -> Iterator[Server]:
    """`tidings up` within the block, ready."""
    server = Server("up", "--json", "--data", data, *arguments, **env)
    try:
        yield server.started()
    finally:
        server.close()


def until(true: Any, server: Server, patience: float = START) -> None:
    give_up_at = time.monotonic() + patience
    while not true():
        assert time.monotonic() < give_up_at, server.errors
        time.sleep(0.02)


def ask(method: str, url: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
    """The status and the JSON of a request; status 0 when nothing answers."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(
        url, method=method, headers=headers, data=None if body is None else json.dumps(body).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, _decoded(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _decoded(error.read())
    except OSError:
        return 0, None


def ready(url: str) -> bool:
    return ask("GET", f"{url}/readyz")[0] == 200


def joined(url: str, handle: str) -> str:
    """Sign somebody up and in. Their token."""
    status, said = ask("POST", f"{url}/v1/users", {"handle": handle, "name": handle.title(), "password": PASSWORD})
    assert status == 201, said
    status, said = ask("POST", f"{url}/v1/sessions", {"handle": handle, "password": PASSWORD})
    assert status == 201, said
    return str(said["token"])


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
