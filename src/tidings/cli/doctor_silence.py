"""In words why a server that all services share does not answer, and what to do."""

from __future__ import annotations

import socket


def silence(error: BaseException | None, engine: str) -> tuple[str, str] | None:
    """What is wrong, and the mend. None for an error of another kind."""
    log = f"logs/{engine.lower()}.log in the data directory says more"
    match error:
        case TimeoutError():
            return (
                "does not answer: nothing came in time",
                f"It hangs or is overloaded. Of the embedded one, {log}; start Tidings again if it stays so.",
            )
        case socket.gaierror():
            return (
                "cannot be reached: there is no machine of that name",
                f"Correct [engines] {engine.lower()} in the topology.",
            )
        case OSError():
            return (
                "does not answer: nothing listens there",
                f"`tidings up` restarts its own by itself, {log}; else start that {engine} server.",
            )
    return None
