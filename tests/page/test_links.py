"""Links that make a sample again, with what was given of it; and the request where none can."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from tests.api.server import Server
from tests.page.items import png, rounded, scored, wav

import ancestral

Open = Any  # the `tab` fixture


def given(address: str) -> dict[str, Any]:
    """What an address gives of the items, read by zlib."""
    (packed,) = parse_qs(urlsplit(address).fragment.partition("?")[2])["given"]
    padded = packed + "=" * (-len(packed) % 4)
    found = json.loads(zlib.decompress(base64.urlsafe_b64decode(padded)))
    assert isinstance(found, dict)
    return found


def follow(opened: Any, address: str) -> None:
    """Open a link as someone who has it from elsewhere."""
    opened.page.goto("about:blank")
    opened.page.goto(address)
    opened.settled()


def test_a_link_makes_the_sample_again(tab: Open, store: Path) -> None:
    opened = tab("tiny-pixelcnn")
    page = opened.page
    page.get_by_label("2", exact=True).check(force=True)
    page.get_by_label("Items").fill("2")
    page.get_by_label("Seed").fill("9")
    page.get_by_label("Temperature").fill("0.8")
    opened.sample()
    first = opened.pixels("#stage canvas")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    sheet = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("RGB"))
    scale = sheet.shape[0] // 5
    tiles = np.concatenate(list(first[:, :, :, :3]), axis=1)
    np.testing.assert_array_equal(sheet[scale // 2 :: scale, scale // 2 :: scale], tiles)

    address = page.url
    follow(opened, address)
    opened.sample()
    assert page.url == address
    np.testing.assert_array_equal(opened.pixels("#stage canvas"), first)


def test_a_link_completes_the_picture_again(tab: Open, store: Path) -> None:
    codes = np.arange(16).reshape(4, 4) % 2
    opened = tab("tiny-gpt")
    page = opened.page
    scored(opened, png((codes * 255).astype(np.uint8)))
    page.get_by_role("button", name="Hide a part and complete it").click()
    page.get_by_role("button", name="left", exact=True).click()
    page.get_by_label("Items").fill("3")
    opened.sample()
    page.get_by_role("button", name="Copy link").wait_for()
    first = opened.pixels("#stage canvas")
    seed = page.get_by_role("button", name="Keep seed").inner_text().split()[-1]
    known = codes.astype(object)
    known[:, :2] = None
    assert given(page.url) == {"known": [known.tolist()]}
    model = ancestral.load("tiny-gpt", root=store)
    expected = model.sample(3, seed=int(seed), known=[known.tolist()])
    for item in range(3):
        np.testing.assert_array_equal(first[item, :, :, 0] // 255, expected.items[item][0])

    address = page.url
    follow(opened, address)
    assert page.locator("#easel").is_visible()
    assert page.get_by_label("Items").input_value() == "3"
    assert page.get_by_label("Seed").input_value() == seed
    (easel,) = opened.pixels("#easel-canvas")
    np.testing.assert_array_equal(easel[:, 2:, 0] // 255, codes[:, 2:])
    opened.sample()
    page.get_by_role("button", name="Copy link").wait_for()
    assert page.url == address
    np.testing.assert_array_equal(opened.pixels("#stage canvas"), first)


def test_a_link_continues_the_recording_again(tab: Open, store: Path) -> None:
    samples = np.rint(np.sin(np.arange(400) / 9) * 16000)
    opened = tab("tiny-speech")
    page = opened.page
    page.get_by_label("Continue a recording of yours").set_input_files(wav(samples, 8000))
    page.get_by_text("Goes on from mine.wav").wait_for()
    page.get_by_label("Seed").fill("4")
    opened.sample()
    page.get_by_role("button", name="Copy link").wait_for()
    bits = opened.figure("#bits")
    model = ancestral.load("tiny-speech", root=store)
    codes = model.manifest.data.media_codec.encode(samples / 32768)
    assert given(page.url) == {"prefix": codes.tolist()}

    follow(opened, page.url)
    page.get_by_text("Goes on from what the link gives, 0.05 s").wait_for()
    opened.sample()
    expected = model.sample(1, seed=4, sites=2000, prefix=codes, condition={"label": 0})
    assert opened.figure("#bits") == rounded(bits)
    assert bits == rounded(expected.bits_per_dim[0])


def test_a_link_says_again_what_is_spoken(tab: Open) -> None:
    sound = wav(np.rint(np.sin(np.arange(240) / 3) * 12000), 1000)
    opened = tab("tiny-wavernn")
    page = opened.page
    page.get_by_label("mel", exact=True).set_input_files(sound)
    opened.sample()
    page.get_by_role("button", name="Copy link").wait_for()
    found = given(page.url)["condition"]["mel"]
    assert base64.b64decode(found["data"]) == sound["buffer"]
    bits = opened.figure("#bits")
    follow(opened, page.url)
    opened.sample()
    assert opened.figure("#bits") == rounded(bits)


def test_a_link_to_a_model_of_another_server(tab: Open, server: Server) -> None:
    opened = tab("tiny-gpt")
    opened.page.goto("about:blank")
    opened.page.goto(f"{server.url}/#elsewhere?seed=3&count=2")
    opened.page.get_by_text("a sample of elsewhere, which this server does not have").wait_for()
    opened.settled()
    assert opened.page.get_by_label("Seed").input_value() == ""
    opened.page.get_by_label("tiny-gpt").check(force=True)
    opened.page.get_by_role("link", name="Skip to sampling").press("Enter")
    opened.page.wait_for_function("document.activeElement.id === 'sample'")
    assert opened.page.get_by_label("tiny-gpt").is_checked()


def test_what_is_too_long_for_a_link_is_a_file(tab: Open, server: Server) -> None:
    rng = np.random.default_rng(2)
    opened = tab("tiny-speech")
    page = opened.page
    loud = wav(np.rint(rng.normal(0, 8000, 60_000)).clip(-32768, 32767), 8000)
    page.get_by_label("Continue a recording of yours").set_input_files(loud)
    page.get_by_text("Goes on from mine.wav").wait_for()
    opened.sample()
    page.get_by_role("button", name="Save request").wait_for()
    assert page.get_by_role("button", name="Copy link").count() == 0
    assert page.url.endswith("#tiny-speech")
    told = opened.text("#trail")
    assert "browsers keep 32,000" in told
    assert f"curl --json @tiny-speech.json {server.url}/sample" in told
    with page.expect_download() as download:
        page.get_by_role("button", name="Save request").click()
    assert download.value.suggested_filename == "tiny-speech.json"
    body = json.loads(download.value.path().read_text())
    (item,) = server.post("/sample", body).json()["items"]
    assert opened.figure("#bits") == rounded(item["bits_per_dim"])


def pack(value: Any) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode().rstrip("=")


OTHERS = pack({"known": [[[0, 1], [2, 5]]]})  # neither the shape nor the codes of tiny-gpt
LARGE = pack({"prefix": "0" * (9 << 20)})  # 9 MiB in few characters


@pytest.mark.parametrize("packed", ["AAAA", "%%%", OTHERS, LARGE])
def test_a_damaged_link_gives_nothing(tab: Open, server: Server, packed: str) -> None:
    opened = tab("tiny-gpt")
    follow(opened, f"{server.url}/#tiny-gpt?seed=3&given={packed}")
    opened.page.get_by_text("The link is damaged").wait_for()
    assert opened.page.locator("#easel").is_hidden()
    assert opened.page.get_by_label("Seed").input_value() == "3"
    opened.sample()
