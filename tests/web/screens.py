"""`python -m tests.web.screens`: the pictures of docs/screens, of a small community that it makes for them.

A page, a width and a scheme each; the server and the browser run here and leave nothing behind.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.async_api import Browser, async_playwright

from tests.harness.people import PASSWORD, Client, Person
from tests.harness.system import whole

ROOT = Path(__file__).parents[2]
WIDTHS = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 860)}
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
COLOURS = 128
HANDLES = {
    "Noor": "noor", "Tomás": "tomas_f", "Wei": "weiwei", "Ines": "ines", "Bob": "bob", "Marta": "marta_k",
}  # fmt: skip
TALK = (
    ("Noor", "Bread is out of the oven. Whoever is near: come by before it is cold.", "oven"),
    ("Tomás", "Slept on the ferry, woke up on an island. There are worse ways to begin a week.", "sea"),
    ("Wei", "Does anybody have the long ladder? I only need it for an hour, and I bring it back with plums.", None),
    (
        "Ines",
        "Finished the quilt! Eleven years, four flats, one cat who disagreed with every colour. #patience",
        None,
    ),
    ("Bob", "Reading group moves to Thursday. @ada brings the cake, I bring the book nobody has finished.", None),
    ("Marta", "First frost on the allotment this morning.", "frost"),
)


async def main() -> int:
    asks = argparse.ArgumentParser(prog="python -m tests.web.screens", description=__doc__)
    asks.add_argument("--to", type=Path, default=ROOT / "docs" / "screens", help="the folder")
    folder: Path = asks.parse_args().to
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        print("There is no Chromium. On Debian, as root: apt-get install chromium", file=sys.stderr)
        return 3
    folder.mkdir(parents=True, exist_ok=True)
    async with whole("near", watched=False) as tidings, async_playwright() as play:
        ada, message = await _community(tidings.client)
        browser = await play.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                await _walk(browser, tidings.system.url, ada, message, folder, width, scheme)
        await browser.close()
    return 0


async def _joins(client: Client, handle: str, name: str) -> Person:
    """Somebody under a handle that looks well."""
    person = {"handle": handle, "name": name, "password": PASSWORD}
    made = (await client.ask("POST", "/v1/users", json=person)).ok()
    token = (await client.ask("POST", "/v1/sessions", json={"handle": handle, "password": PASSWORD})).ok()["token"]
    return Person(client, handle, name, made["id"], token)


async def _community(client: Client) -> tuple[Person, str]:
    """Ada, her friends, and a message of theirs with some answers."""
    ada = await _joins(client, "ada", "Ada")
    people = {name: await _joins(client, handle, name) for name, handle in HANDLES.items()}
    (await ada.patch("/v1/users/me", {"bio": "Numbers, bread, long walks."})).ok()
    everybody = [ada, *people.values()]
    for number, one in enumerate(everybody):
        await one.befriends(*everybody[number + 1 :])
    said = {}
    for name, text, picture in TALK:
        who = people[name]
        media = []
        if picture is not None:
            media = [{"media_id": await who.uploads(_picture(picture), alt=ALTS[picture])}]
        place = {"latitude": 38.72, "longitude": -9.14, "name": "Alfama"} if name == "Noor" else None
        said[name] = await who.posts(text, media=media, place=place)
    oven = said["Noor"]["id"]
    await ada.posts("Back from the hills. Everything hurts, nothing is wrong.")
    for name, emoji in (("Wei", "❤️"), ("Ines", "❤️"), ("Bob", "👍")):
        (await people[name].put(f"/v1/messages/{oven}/reactions/{emoji}")).ok()
    for name, text in (("Wei", "On my way, with plums."), ("Marta", "Keep me the end of it!")):
        (await people[name].post(f"/v1/messages/{oven}/replies", {"text": text})).ok()
    for name in ("Wei", "Ines"):
        (await people[name].put(f"/v1/messages/{said['Bob']['id']}/reactions/🎉")).ok()
    stranger = await _joins(client, "olu", "Olu")
    (await stranger.put(f"/v1/friends/{ada.id}")).ok()
    return ada, oven


ALTS = {
    "oven": "a loaf on a board, steam above it",
    "sea": "the sea at sunrise",
    "frost": "frost on a field at dawn",
}


def _picture(what: str) -> bytes:
    """A landscape of a few strokes, as a PNG."""
    sky, ground, light = {
        "oven": ((92, 52, 38), (58, 30, 22), (255, 205, 120)),
        "sea": ((250, 190, 140), (40, 92, 120), (255, 240, 200)),
        "frost": ((190, 215, 235), (235, 242, 246), (255, 225, 190)),
    }[what]
    image = Image.new("RGB", (1200, 800), sky)
    draw = ImageDraw.Draw(image)
    for row in range(800):
        part = row / 800
        draw.line(
            (0, row, 1200, row), fill=tuple(int(a + (b - a) * part) for a, b in zip(sky, ground, strict=True))
        )
    draw.ellipse((760, 180, 960, 380), fill=light)
    for number, height in enumerate((560, 620, 690)):
        shade = tuple(max(0, part - 30 * number) for part in ground)
        points = [(x, height + 40 * ((x // 150 + number) % 2)) for x in range(0, 1351, 150)]
        draw.polygon([(0, 800), *points, (1350, 800)], fill=shade)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


async def _walk(
    browser: Browser, base: str, ada: Person, message: str, folder: Path, width: str, scheme: str
) -> None:
    size = WIDTHS[width]
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce", locale="en-GB"
    )
    page = await context.new_page()

    async def shot(name: str) -> None:
        await page.wait_for_load_state("load")
        await page.evaluate(
            "Promise.all([...document.images].filter(one => one.getBoundingClientRect().top < innerHeight)"
            ".map(one => one.decode().catch(() => 0)))"
        )
        raw = await page.screenshot()
        drawn = Image.open(io.BytesIO(raw)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        drawn.save(folder / f"{name}-{width}-{scheme}.png", optimize=True)

    if scheme == "light":
        await page.goto(base)
        await shot("welcome")
    await page.goto(f"{base}/signin")
    await page.fill("#handle", ada.handle)
    await page.fill("#password", PASSWORD)
    await page.press("#password", "Enter")
    await page.wait_for_url(f"{base}/")
    await shot("timeline")
    await page.goto(f"{base}/feed")
    await shot("feed")
    await page.goto(f"{base}/messages/{message}")
    await shot("message")
    if scheme == "light":
        for name in ("write", "notifications", "friends", "settings"):
            await page.goto(f"{base}/{name}")
            await shot(name)
    await context.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
