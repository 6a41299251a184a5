from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import Run

import ancestral
from ancestral.api import batches
from ancestral.media import encode_npy


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def score(n: int, item: Any) -> dict[str, Any]:
    body = {"model": "tiny-wavenet", "inputs": [item]}
    return {"custom_id": f"s{n}", "url": "/log_prob", "body": body}


def test_files_are_scored_and_nothing_is_repeated(
    run: Run, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    items = rng.integers(0, 16, (6, 30))
    lines = []
    for n, item in enumerate(items):
        (tmp_path / f"{n}.npy").write_bytes(encode_npy(item.astype(np.uint8)))
        lines.append(score(n, {"path": f"{n}.npy"}))
    lines.append(score(6, {"path": "absent.npy"}))
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, lines[:4])
    done = run("batch", source, target, "--models", small_store, "--json")
    assert done.status == 0
    assert done.json == {
        "output": str(target), "requests": 4, "already_answered": 0, "failed": 0
    }  # fmt: skip
    first = read(target)
    assert sorted(line["custom_id"] for line in first) == ["s0", "s1", "s2", "s3"]
    model = ancestral.load("tiny-wavenet", root=small_store)
    for line in first:
        expected = model.log_prob([items[int(line["custom_id"][1:])]])[0].log_prob
        (result,) = line["response"]["body"]["results"]
        assert result["log_prob"] == pytest.approx(expected, rel=1e-6)  # float32 passes

    # as after an interruption: an answer that failed in passing, and half a line
    failed = {"custom_id": "s1", "response": {"status_code": 503, "body": {}}}
    kept = [line for line in first if line["custom_id"] != "s1"]
    write(target, [*kept, failed])
    with target.open("a") as file:
        file.write(json.dumps(first[0])[:40])
    write(source, lines)
    asked = []
    answer = batches.answer
    monkeypatch.setattr(
        batches, "answer", lambda services, line, key: asked.append(line) or answer(services, line)
    )
    outcome = run("batch", source, target, "--models", small_store)
    assert outcome.status == 1
    assert "1 of 7 requests failed" in outcome.err
    assert sorted(json.loads(line.text)["custom_id"] for line in asked) == ["s1", "s4", "s5", "s6"]
    found = {line["custom_id"]: line["response"]["status_code"] for line in read(target)}
    assert found == {**{f"s{n}": 200 for n in range(6)}, "s6": 422}
    assert len(read(target)) == 7


def test_an_input_that_is_not_there(run: Run, small_store: Path, tmp_path: Path) -> None:
    outcome = run("batch", tmp_path / "no", tmp_path / "out", "--models", small_store)
    assert outcome.status == 2
