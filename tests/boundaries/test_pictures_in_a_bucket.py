"""Pictures in a real S3 server: the same life, and addresses of the bucket's own where the operator wants them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest

from tests.harness.pictures import opened
from tests.harness.seaweed import Seaweed, seaweed, weed
from tests.harness.system import Whole, settings_for, whole
from tests.harness.waiting import until
from tidings.contracts import media as contract
from tidings.platform.storage.blobs import Blobs, open_blobs
from tidings.platform.topology import Topology
from tidings.system import chosen_topology


@pytest.fixture(scope="module")
def bucket() -> Iterator[Seaweed]:
    if (why := weed()) is not None:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as folder, seaweed(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
async def tidings(bucket: Seaweed) -> AsyncIterator[Whole]:
    async with whole("apart", topology=placed(bucket.url), presigned_seconds=30) as running:
        yield running


def placed(url: str) -> Topology:
    """Everything apart, and the pictures in that bucket."""
    topology = chosen_topology(settings_for(Path("/nowhere")), apart=True)
    media = msgspec.structs.replace(topology.services["media"], blobs=url)
    return msgspec.structs.replace(topology, services={**topology.services, "media": media})


@pytest.fixture
def blobs(bucket: Seaweed) -> Blobs:
    return open_blobs("media", bucket.url)


async def test_a_picture_lives_in_the_bucket_and_leaves_it(tidings: Whole, blobs: Blobs) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    media_id = await alice.uploads(alt="The sea")
    assert media_id in await blobs.folders("", 1000)
    assert not [one for one in (tidings.settings.data / "blobs").rglob("*") if one.is_file()]
    assert await blobs.get(f"{media_id}/parts/00000") is None
    said = await alice.posts("look", media=[{"media_id": media_id}])
    served = await bob.get(f"/v1/media/{media_id}/preview", params={"message": said["id"]})
    assert opened(served.raw).size == (64, 48)  # the client has followed
    (await alice.delete(f"/v1/messages/{said['id']}")).ok()

    async def deleted() -> bool:
        answer = await alice.delete(f"/v1/media/{media_id}")
        return answer.status == 404 and media_id not in await blobs.folders("", 1000)

    await until(deleted, within=20)


async def test_a_presigned_address_is_given_to_who_may_see_it_and_lives_shortly(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    media_id = await alice.uploads()
    path = f"/v1/media/{media_id}/full"
    assert (await bob.get(path, allow_redirects=False)).status == 404
    answer = await alice.get(path, allow_redirects=False)
    assert (answer.status, answer.raw) == (307, b"")
    assert answer.headers["cache-control"] == "private, no-store"
    address = answer.headers["location"]
    asked = parse_qs(urlsplit(address).query)
    assert asked["X-Amz-Expires"] == ["30"]
    async with aiohttp.ClientSession() as nobody:  # who has the address needs no more
        async with nobody.get(address) as served:
            assert (served.status, served.content_type) == (200, "image/webp")
        async with nobody.get(address.replace("full", "preview")) as other:
            assert other.status == 403  # it is for the one file


async def test_strays_in_a_bucket_are_pruned(tidings: Whole, blobs: Blobs) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    stray = "00000000-0000-7000-8000-000000000000"
    await blobs.put(f"{stray}/full.webp", b"x", "image/webp")
    await blobs.put("somebody's notes/full.webp", b"x", "image/webp")
    done = await tidings.operator.call(contract.prune, contract.PruneAsk())
    assert done.strays == 1
    found = await blobs.folders("", 1000)
    assert stray not in found and "somebody's notes" in found and media_id in found
    usage = await tidings.operator.call(contract.usage, contract.UsageAsk())
    assert usage.blobs.startswith("s3+http://") and ":***@127.0.0.1" in usage.blobs


@pytest.mark.parametrize("where", ["127.0.0.1:1/pictures", "{port}/no-such-bucket"])
async def test_without_its_bucket_media_is_unavailable_and_nothing_else_is(bucket: Seaweed, where: str) -> None:
    where = where.replace("{port}", f"127.0.0.1:{bucket.port}")
    async with whole("near", topology=placed_nowhere(bucket, where)) as running:
        alice = await running.joins("Alice")
        async with asyncio.timeout(20):
            answer = await alice.sends(b"x" * 10)
        assert (answer.status, answer.body["code"], answer.body["service"]) == (503, "unavailable", "media")
        await alice.posts("still here")
        assert (await alice.feed())["items"][0]["message"]["text"] == "still here"
        ready = await running.client.ask("GET", "/readyz")
        assert (ready.status, ready.body["services"]["media"]) == (503, False)


def placed_nowhere(bucket: Seaweed, where: str) -> Topology:
    topology = chosen_topology(settings_for(Path("/nowhere")), apart=False)
    url = f"s3+http://{bucket.key}:{bucket.secret}@{where}"
    media = msgspec.structs.replace(topology.services["media"], blobs=url)
    return msgspec.structs.replace(topology, services={**topology.services, "media": media})
