"""Against a server that asks for keys, by every way that the client has to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.api.conftest import running
from tests.packages import publish

from ancestral.access import create
from ancestral_client import Client, Unauthorized

pytestmark = pytest.mark.slow


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.json"
    user, admin = create(keys, "user")[1], create(keys, "admin", admin=True)[1]
    publish(tmp_path / "store", "tiny-made")
    monkeypatch.setenv("ANCESTRAL_KEYS", str(keys))
    with running(tmp_path / "store") as (server, _):
        with Client(server.url) as nobody:
            for refused in (
                lambda: nobody.models(),
                lambda: nobody.sample("tiny-made"),
                lambda: list(nobody.stream("tiny-made")),
            ):
                with pytest.raises(Unauthorized) as told:
                    refused()
                assert told.value.status == 401
        monkeypatch.setenv("ANCESTRAL_KEY", user)
        with Client(server.url) as client:
            stream = client.stream("tiny-made", seed=3)
            for _ in stream:
                pass
            drawn = client.sample("tiny-made", seed=3).data
            np.testing.assert_array_equal(drawn[0], stream.item(0))
            with pytest.raises(Unauthorized) as told:
                client.unload("tiny-made")
            assert told.value.status == 403
        with Client(server.url, api_key=admin) as boss:
            assert boss.unload("tiny-made").state == "unloaded"
