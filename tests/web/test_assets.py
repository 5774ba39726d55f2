"""What pages link to: as it was vendored, within its bounds, and kept for ever only where it never changes."""

from __future__ import annotations

import gzip
import re
import tomllib
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import pytest

from tests.harness.system import Whole
from tidings.web import assets
from tidings.web.assets import ASSETS, FOLDER

WEB = Path(assets.__file__).parent
SCRIPTS = sorted((FOLDER / "scripts").glob("*.js"))
MOST_LINES = 500
VENDORED: dict[str, Any] = tomllib.loads((WEB / "vendored.toml").read_text())
FOREVER = "public, max-age=31536000, immutable"

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)


def test_what_others_made_is_as_it_came() -> None:
    assert VENDORED
    for name, told in VENDORED.items():
        assert sha256((WEB / name).read_bytes()).hexdigest() == told["sha256"], name
        assert told.keys() == {"from", "sha256", "licence"}


def test_every_script_is_our_own_or_recorded() -> None:
    scripts = {str(path.relative_to(WEB)) for path in WEB.rglob("*.js")}
    own = {str(path.relative_to(WEB)) for path in SCRIPTS}
    assert own
    assert scripts - own == {name for name in VENDORED if name.endswith(".js")}
    assert [path for path in WEB.rglob("*") if path.suffix in (".mjs", ".ts", ".wasm", ".map")] == []


def test_our_own_scripts_stay_small() -> None:
    lines = sum(bool(line.strip()) for path in SCRIPTS for line in path.read_text().splitlines())
    assert lines < MOST_LINES
    # Not by lines that nobody could read.
    assert max(len(line) for path in SCRIPTS for line in path.read_text().splitlines()) <= 200


RISKY = re.compile(
    r"\b(eval|Function|document\.write(ln)?|insertAdjacentHTML|srcdoc|createContextualFragment)\b"
    r"|\b(inner|outer)HTML\s*\+?=(?!=)|\bset(Timeout|Interval)\s*\(\s*[\"'`]"
)
CONSTANT = re.compile(r"innerHTML = '[^'$]*';$")


def test_our_own_scripts_make_no_markup_and_evaluate_nothing() -> None:
    lines = [line.strip() for path in SCRIPTS for line in path.read_text().splitlines()]
    assert [line for line in lines if RISKY.search(CONSTANT.sub("", line))] == []
    for bad in ("x.innerHTML = said;", "x.innerHTML = `<b>${said}</b>`;", "eval(said)", "setTimeout('go()', 1)"):
        assert RISKY.search(CONSTANT.sub("", bad))


def test_the_scripts_go_as_one_in_the_order_of_their_names() -> None:
    assert ASSETS["tidings.js"].body == b"".join(path.read_bytes() for path in SCRIPTS)
    assert [path.name for path in SCRIPTS] == sorted(path.name for path in SCRIPTS)


def test_an_address_says_what_is_in_it() -> None:
    for asset in ASSETS.values():
        assert asset.version == blake2b(asset.body, digest_size=6).hexdigest()
        assert asset.path == f"/static/{asset.version}/{asset.name}"
        assert gzip.decompress(asset.packed) == asset.body
    assert len({asset.version for asset in ASSETS.values()}) == len(ASSETS)


@near
@pytest.mark.parametrize("name", sorted(ASSETS))
async def test_an_asset_is_kept_for_ever_under_its_own_address_alone(tidings: Whole, name: str) -> None:
    asset, ask = ASSETS[name], tidings.client.ask
    plain = {"accept-encoding": "identity"}
    current = await ask("GET", asset.path, headers=plain)
    assert (current.status, current.raw) == (200, asset.body)
    assert current.headers["cache-control"] == FOREVER
    assert current.headers["content-type"].partition(";")[0] == asset.media_type
    assert current.headers["x-content-type-options"] == "nosniff"
    assert current.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in current.headers

    # Whoever still holds a page of before is served, but must not keep today's content under yesterday's address.
    old = await ask("GET", f"/static/{'0' * 12}/{name}", headers=plain)
    assert (old.status, old.raw, old.headers["cache-control"]) == (200, asset.body, "no-store")

    packed = await ask("GET", asset.path, headers={"accept-encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.raw == asset.body  # the client has unpacked it
    assert packed.headers["cache-control"] == FOREVER
    assert "set-cookie" not in current.headers
    assert "tidings-seen" not in current.headers


@near
@pytest.mark.parametrize(
    "path",
    [
        "/static/x/none.js",
        "/static/x/10-start.js",
        "/static/x/scripts",
        "/static/x/..%2fvendored.toml",
        "/static/x/%2e%2e%2f%2e%2e%2fassets.py",
        "/static/x/tidings.css%00",
    ],
)
async def test_nothing_else_is_there(tidings: Whole, path: str) -> None:
    assert (await tidings.client.ask("GET", path)).status == 404
