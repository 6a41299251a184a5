from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ancestral.cli.answered import answered

NAMES = ("a", "b", "line-1", "\ud800", "")
BROKEN = ("{", "[]", '{"custom_id": "a"}', "")


def some_line(random_: random.Random) -> str:
    if random_.random() < 0.2:
        return random_.choice(BROKEN)
    response = {"status_code": random_.choice((200, 422, 500, 503)), "body": {}}
    return json.dumps({"custom_id": random_.choice(NAMES), "response": response})


@pytest.mark.parametrize("seed", range(30))
def test_what_stays_is_the_first_answer_to_each_name(seed: int, tmp_path: Path) -> None:
    random_ = random.Random(seed)
    lines = [some_line(random_) for _ in range(random_.randrange(12))]
    torn = random_.random() < 0.5
    output = tmp_path / "out.jsonl"
    text = "".join(line + "\n" for line in lines)
    output.write_text(text[:-1] if torn else text, encoding="utf-8")

    expected: dict[str, int] = {}
    kept = []
    for line in lines[:-1] if torn else lines:
        try:
            found = json.loads(line)
            name, status = found["custom_id"], found["response"]["status_code"]
        except (ValueError, KeyError, TypeError):
            continue
        if status < 500 and name not in expected:
            expected[name] = status
            kept.append(line)

    told = answered(output)
    assert output.read_text(encoding="utf-8") == "".join(line + "\n" for line in kept)
    assert len(told) == len(expected)
    assert told.failed == sum(status != 200 for status in expected.values())
    assert all(name in told for name in expected)
    assert [name for name in ("a", "b", "line-1", "", "c") if name in told] == [
        name for name in ("a", "b", "line-1", "", "c") if name in expected
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl"}


def test_a_file_that_all_stays_is_not_written_again(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text('{"custom_id": "a", "response": {"status_code": 200}}\n')
    before = output.stat().st_ino
    assert "a" in answered(output)
    assert output.stat().st_ino == before


def test_no_file_answers_nothing(tmp_path: Path) -> None:
    told = answered(tmp_path / "absent")
    assert (len(told), told.failed, "a" in told) == (0, 0, False)
