"""The page's music: its MIDI files against the server's reader, its organ against numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.page.node import run

from ancestral.media.midi import Midi


def test_a_midi_file_is_one_that_the_server_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.choice([0, 48, 60, 72, 127], (12, 3)), rng.integers(1, 40, 12), axis=0)
    codec = Midi(voices=3, steps=4, tempo=72.0)
    flat = codes.reshape(-1).tolist()
    config = {"voices": codec.voices, "steps": codec.steps, "tempo": codec.tempo}
    (tmp_path / "expected.json").write_text(json.dumps({"codes": flat, "codec": config}))
    script = """
    import { readFileSync, writeFileSync } from "node:fs";
    import { midiFile } from "./midi.js";
    const { codes, codec } = JSON.parse(readFileSync("expected.json", "utf8"));
    const file = midiFile(codes, codec);
    assert.equal(file.type, "audio/midi");
    writeFileSync("out.mid", new Uint8Array(await file.arrayBuffer()));
    """
    run(script, tmp_path)
    written = (tmp_path / "out.mid").read_bytes()
    found, steps = codec.encode(written, fit=False)
    assert found.tolist() == flat
    assert steps == []
    assert written == codec.decode(codes.reshape(-1))


def test_a_held_note_sounds_at_its_pitch_without_a_break(tmp_path: Path) -> None:
    script = """
    import { writeFileSync } from "node:fs";
    import { SYNTH_HZ, Synth } from "./synth.js";
    const synth = new Synth({ voices: 2, steps: 4, tempo: 60 }, 9);
    for (const pitches of [...Array(4).fill([69, 0]), ...Array(4).fill([0, 57]), [0, 0]]) {
      synth.step(pitches, 0);
    }
    const { have, total, samples, rate } = synth.sound;
    assert.ok(have === total && rate === SYNTH_HZ);
    writeFileSync("out.json", JSON.stringify({ rate, samples: Array.from(samples) }));
    """
    run(script, tmp_path)
    sound = json.loads((tmp_path / "out.json").read_text())
    samples, rate = np.array(sound["samples"]), sound["rate"]
    assert np.abs(samples).max() < 1
    for second, hertz in ((0, 440.0), (1, 220.0)):
        heard = samples[round((second + 0.1) * rate) : round((second + 0.9) * rate)]
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        loudest = np.argmax(spectrum) * rate / len(heard)
        assert abs(loudest - hertz) < 2
    # neighbouring samples of the loudest voice differ by no more than its harmonics can
    assert np.abs(np.diff(samples)).max() < 0.15
    assert np.abs(samples[-rate // 8 :]).max() == 0
