"""Where each service's data was the last time: who names another store finds what is there, not what was here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidings.platform import logs
from tidings.platform.data_directory import write_private

log = logs.get_logger("moved")

FILE: Final = "stores.json"


def moved(folder: Path, stores: Mapping[str, str]) -> dict[str, str]:
    """Services whose store is another than the last time, with that one. `stores` are remembered from now on."""
    path = folder / FILE
    before: dict[str, str] = {}
    try:
        before = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        pass  # the first time
    except msgspec.DecodeError as error:
        log.warning("stores_not_remembered", file=str(path), error=str(error))
    if before != dict(stores):
        write_private(path, msgspec.json.encode(dict(stores)))
    return {name: before[name] for name, store in stores.items() if before.get(name, store) != store}
