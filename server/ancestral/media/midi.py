"""MIDI in and out: Standard MIDI Files 1.0 (MIDI Manufacturers Association, RP-001).

A model's codes are pitches, those of all voices at one step after the other. Files have a track for
every voice behind one that holds the tempo.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import mido
import numpy as np
import numpy.typing as npt

from ancestral.media.errors import MediaError

Codes = npt.NDArray[np.int64]
MAGIC = b"MThd"
_TICKS = 480  # per quarter note, of files written here
_VELOCITY = 80
_DRUMS = 9  # the channel that General MIDI keeps for drums
_LONGEST = 1_000_000  # steps of a file that is read


@dataclass(frozen=True)
class Midi:
    """Pitches 1..127 of `voices` voices at `steps` equal steps per quarter note; 0 is silence.

    A pitch that goes on is one held note: codes do not tell a held note from a repeated one.
    """

    voices: int = 1
    steps: int = 4
    tempo: float = 80.0  # quarter notes per minute, of files written
    levels: ClassVar[int] = 128

    def decode(self, codes: Codes) -> bytes:
        """A file of the codes [steps · voices]; voices that the last step lacks rest."""
        padded = np.zeros(-(-len(codes) // self.voices) * self.voices, dtype=np.int64)
        padded[: len(codes)] = codes
        song: Any = mido.MidiFile(type=1, ticks_per_beat=_TICKS * self.steps)
        tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(self.tempo))
        song.tracks.append(mido.MidiTrack([tempo]))
        for voice, pitches in enumerate(padded.reshape(-1, self.voices).T.tolist()):
            song.tracks.append(_track(pitches, voice))
        body = io.BytesIO()
        song.save(file=body)
        return body.getvalue()

    def encode(self, body: bytes, *, fit: bool) -> tuple[Codes, list[str]]:
        """Codes and the `fit` steps taken. Raises MediaError for a file of another form."""
        try:
            song: Any = mido.MidiFile(file=io.BytesIO(body))
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            raise MediaError(f"the MIDI file does not parse: {error}") from error
        per_step = song.ticks_per_beat / self.steps
        if song.ticks_per_beat <= 0:
            raise MediaError("MIDI: time in SMPTE frames, not in quarter notes")
        tracks = [track for track in song.tracks if any(m.type == "note_on" for m in track)]
        if len(song.tracks) == self.voices + 1:
            tracks = song.tracks[1:]  # a voice may rest throughout
        if len(tracks) != self.voices:
            raise MediaError(
                f"MIDI: {len(tracks)} tracks with notes where {self.voices} voices are expected"
            )
        length = max(sum(message.time for message in track) for track in song.tracks) / per_step
        if length > _LONGEST:
            raise MediaError(f"MIDI: {length:,.0f} steps long; {_LONGEST:,} are read")
        pitches = np.zeros((round(length), self.voices), dtype=np.int64)
        rounded = False
        for voice, track in enumerate(tracks):
            for pitch, start, end in _notes(track, voice, fit):
                first, last = round(start / per_step), round(end / per_step)
                rounded |= first * per_step != start or last * per_step != end
                pitches[first:last, voice] = pitch
        if rounded and not fit:
            raise MediaError(
                f"MIDI: notes off the grid of {self.steps} steps per quarter; "
                '"fit": true rounds them'
            )
        if not len(pitches):
            raise MediaError("MIDI: the file has no length")
        return pitches.reshape(-1), [f"rounded notes to {self.steps} a quarter"] * rounded


def _track(pitches: list[int], voice: int) -> Any:
    """A voice's notes, and where its last step ends."""
    channel = voice % 15 if voice % 15 < _DRUMS else voice % 15 + 1
    track, last, before = mido.MidiTrack(), 0, 0
    for step, pitch in enumerate([*pitches, 0]):
        if pitch == before:
            continue
        for kind, note in (("note_off", before), ("note_on", pitch)):
            if note:
                time, last = (step - last) * _TICKS, step
                velocity = _VELOCITY if kind == "note_on" else 0
                track.append(
                    mido.Message(kind, channel=channel, note=note, velocity=velocity, time=time)
                )
        before = pitch
    track.append(mido.MetaMessage("end_of_track", time=(len(pitches) - last) * _TICKS))
    return track


def _notes(track: Any, voice: int, fit: bool) -> list[tuple[int, int, int]]:
    """(pitch, first tick, tick after the last) of one voice; MediaError for chords unless `fit`."""
    found: list[tuple[int, int, int]] = []
    now, sounding, since = 0, 0, 0
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        starts = message.type == "note_on" and message.velocity > 0
        if not starts and message.note != sounding:
            continue
        if sounding:
            if starts and not fit:
                raise MediaError(
                    f"MIDI: voice {voice} sounds {sounding} and {message.note} together; "
                    '"fit": true keeps the later'
                )
            found.append((sounding, since, now))
        sounding, since = (message.note if starts else 0), now
    return [*found, (sounding, since, now)] if sounding else found
