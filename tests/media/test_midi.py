"""MIDI in and out: what is written is what the Standard MIDI File format says, byte by byte."""

from __future__ import annotations

import io

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestral.media import MediaError, decode
from ancestral.media.midi import Midi
from ancestral.models.data import DataSpec

SEQUENCE = DataSpec("sequence", levels=128)


def test_the_file_is_what_the_standard_says() -> None:
    """By hand: two steps of middle C and one of silence, at 60 quarters per minute."""
    body = Midi(voices=1, steps=1, tempo=60).decode(np.array([60, 60, 0]))
    header = b"MThd" + bytes.fromhex("00000006 0001 0002 01e0")
    tempo = bytes.fromhex("00 ff5103 0f4240 00 ff2f00")  # a million microseconds per quarter
    notes = bytes.fromhex("00 90 3c 50 8740 80 3c 00 8360 ff2f00")  # 960 ticks, then 480 of rest
    tracks = [b"MTrk" + len(track).to_bytes(4, "big") + track for track in (tempo, notes)]
    assert body == header + b"".join(tracks)


@settings(max_examples=40)
@given(
    st.integers(1, 4).flatmap(
        lambda voices: st.tuples(
            st.just(voices),
            st.lists(
                st.lists(st.sampled_from([0, 1, 60, 61, 127]), min_size=voices, max_size=voices),
                min_size=1,
                max_size=9,
            ),
        )
    )
)
def test_codes_come_back(case: tuple[int, list[list[int]]]) -> None:
    voices, steps = case
    codec, codes = Midi(voices=voices), np.array(steps).reshape(-1)
    back, taken = codec.encode(codec.decode(codes), fit=False)
    np.testing.assert_array_equal(back, codes)
    assert taken == []


def test_an_unfinished_step_is_filled_with_rests() -> None:
    codec = Midi(voices=4)
    back, _ = codec.encode(codec.decode(np.array([70, 65, 60, 50, 71])), fit=False)
    assert back.tolist() == [70, 65, 60, 50, 71, 0, 0, 0]


def written(*tracks: list[mido.Message]) -> bytes:
    song = mido.MidiFile(ticks_per_beat=96)
    song.tracks.extend(mido.MidiTrack(track) for track in tracks)
    body = io.BytesIO()
    song.save(file=body)
    return body.getvalue()


def note(pitch: int, time: int, *, off: bool = False) -> mido.Message:
    """Note on, or off as most programs write it: on with velocity 0."""
    return mido.Message("note_on", note=pitch, velocity=0 if off else 64, time=time)


def test_files_of_other_programs_are_read() -> None:
    """96 ticks per quarter; a note off as a note on of velocity 0; events that are no notes."""
    pedal = mido.Message("control_change", control=64, value=0, time=0)
    body = written(
        [pedal, note(60, 24), note(60, 48, off=True), note(62, 0), note(62, 24, off=True)]
    )
    codes, _ = decode(body, None, SEQUENCE, Midi(voices=1, steps=4))
    assert codes.tolist() == [0, 60, 60, 62]
    assert decode(body, "audio/midi", SEQUENCE, Midi(voices=1, steps=4))[0].tolist() == [
        0, 60, 60, 62,
    ]  # fmt: skip


def test_notes_off_the_grid_need_fit() -> None:
    body = written([note(60, 22), note(60, 50, off=True)])
    codec = Midi(voices=1, steps=4)
    with pytest.raises(MediaError, match=r"off the grid of 4 steps.*fit"):
        codec.encode(body, fit=False)
    codes, taken = codec.encode(body, fit=True)
    assert (codes.tolist(), taken) == ([0, 60, 60], ["rounded notes to 4 a quarter"])


def test_a_voice_sounds_one_note() -> None:
    body = written([note(60, 0), note(64, 24), note(64, 24, off=True)])
    codec = Midi(voices=1, steps=4)
    with pytest.raises(MediaError, match="sounds 60 and 64 together"):
        codec.encode(body, fit=False)
    assert codec.encode(body, fit=True)[0].tolist() == [60, 64]


def test_what_is_not_such_a_file_is_refused() -> None:
    one = written([note(60, 0), note(60, 24, off=True)])
    with pytest.raises(MediaError, match="1 tracks with notes where 4 voices"):
        Midi(voices=4).encode(one, fit=True)
    for body in (b"MThd", one[:30], b"MThd" + bytes(40)):
        with pytest.raises(MediaError, match="MIDI"):
            Midi().encode(body, fit=True)
    long = written([note(60, 0), *(note(60, 0x0FFFFFFF, off=True) for _ in range(9))])
    with pytest.raises(MediaError, match="steps long"):
        Midi().encode(long, fit=True)
    with pytest.raises(MediaError, match="a MIDI file where audio with "):
        decode(one, None, DataSpec("audio", levels=256, sample_rate=8000), None)
