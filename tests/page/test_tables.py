"""The page's tables and transforms against the server's codecs and against numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.page.node import run

from ancestral.media.codecs import Levels, Linear, MuLaw, pcm16
from ancestral.media.picture import colour_table
from ancestral.media.wav import read_wav


def _expect(folder: Path, **values: Any) -> None:
    (folder / "expected.json").write_text(json.dumps(values))


READ = """
import { readFileSync } from "node:fs";
const expected = JSON.parse(readFileSync("expected.json", "utf8"));
function near(found, wanted, within) {
  assert.equal(found.length, wanted.length);
  wanted.forEach((value, i) => {
    assert.ok(Math.abs(found[i] - value) <= within, `${i}: ${found[i]}, not ${value}`);
  });
}
"""


@pytest.mark.parametrize(
    ("config", "codec"),
    [
        (
            {"kind": "mu-law", "mu": 255, "levels": 256, "decode_points": "grid"},
            MuLaw(255, 256, "nearest", "grid"),
        ),
        (
            {"kind": "mu-law", "mu": 15, "levels": 16, "decode_points": "midpoints"},
            MuLaw(15, 16, "floor", "midpoints"),
        ),
        ({"kind": "linear", "levels": 1024}, Linear(1024)),
    ],
    ids=["mu-law", "midpoints", "linear"],
)
def test_codes_sound_as_the_server_decodes_them(
    tmp_path: Path, config: dict[str, Any], codec: MuLaw | Linear
) -> None:
    amplitudes = codec.decode(np.arange(codec.levels))
    _expect(tmp_path, config=config, amplitudes=amplitudes.tolist())
    script = """
    import { amplitudes } from "./codec.js";
    near(amplitudes(expected.config), expected.amplitudes, 1e-6);
    """
    run(READ + script, tmp_path)


def test_levels_look_as_the_server_draws_them(tmp_path: Path) -> None:
    tables = {
        str(levels): Levels(levels).decode(np.arange(levels)).tolist() for levels in (2, 5, 16, 256)
    }
    _expect(tmp_path, tables=tables, heat=colour_table().tolist())
    script = """
    import { colouring } from "./client/painter.js";
    import { HEAT } from "./colour.js";
    for (const [levels, table] of Object.entries(expected.tables)) {
      const colour = colouring({ levels: Number(levels) }, 1);
      assert.deepEqual(table.map((_, level) => colour([level], 0)), table.map((x) => [x, x, x]));
    }
    near(HEAT.flat(), expected.heat.flat(), 1); // a last digit may round the other way
    """
    run(READ + script, tmp_path)


def test_a_wav_file_is_one_that_the_server_reads(tmp_path: Path) -> None:
    samples = np.array([0.0, 0.5, -0.25, 1.0, -1.0])
    _expect(tmp_path, samples=samples.tolist())
    script = """
    import { writeFileSync } from "node:fs";
    import { wavFile } from "./codec.js";
    const file = wavFile(Float32Array.from(expected.samples), 8000);
    assert.equal(file.type, "audio/wav");
    writeFileSync("out.wav", new Uint8Array(await file.arrayBuffer()));
    """
    run(READ + script, tmp_path)
    wav = read_wav((tmp_path / "out.wav").read_bytes())
    assert wav.rate == 8000
    np.testing.assert_array_equal(wav.amplitudes[:, 0] * 32768, pcm16(samples))


def test_spectra_are_those_of_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=300) * 0.1
    frame = samples[100 - 32 : 100 + 32] * np.hanning(65)[:64]  # periodic: the last one is left out
    decibels = 20 * np.log10(np.abs(np.fft.rfft(frame))[:32] / 16)
    shades = np.clip(1 + decibels / 80, 0, 1)
    _expect(tmp_path, samples=samples.tolist(), shades=shades.tolist())
    script = """
    import { Spectrum } from "./spectrum.js";
    const spectrum = new Spectrum(64);
    near(spectrum.shades(Float64Array.from(expected.samples), 100), expected.shades, 1e-6);
    // A full-scale sine is the brightest shade there is, in its own bin; silence is dark.
    const sine = Float32Array.from({ length: 64 }, (_, i) => Math.sin((2 * Math.PI * 8 * i) / 64));
    const shades = spectrum.shades(sine, 32);
    assert.ok(Math.abs(shades[8] - 1) < 1e-6 && shades[20] === 0);
    assert.ok(spectrum.shades(new Float32Array(8), 500).every((shade) => shade === 0));
    """
    run(READ + script, tmp_path)


def test_surprise_is_summed_over_channels_in_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    per_dim = -rng.exponential(size=(3, 4, 5))
    values = rng.normal(size=30)
    padded = [values[max(0, i - 2) : i + 3].mean() for i in range(30)]
    _expect(
        tmp_path,
        per_dim=per_dim.tolist(),
        bits=(-per_dim.sum(axis=0) / np.log(2)).ravel().tolist(),
        line=per_dim[0, 0].tolist(),
        line_bits=(-per_dim[0, 0] / np.log(2)).tolist(),
        values=values.tolist(),
        smooth=padded,
    )
    script = """
    import { ceiling, smoothed, surpriseBits } from "./surprise.js";
    near(surpriseBits(expected.per_dim), expected.bits, 1e-12);
    near(surpriseBits(expected.line), expected.line_bits, 1e-12);
    near(smoothed(Float64Array.from(expected.values), 5), expected.smooth, 1e-12);
    assert.equal(ceiling(Float64Array.from({ length: 1001 }, (_, i) => i)), 995);
    """
    run(READ + script, tmp_path)
