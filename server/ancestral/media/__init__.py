"""PNG, JPEG, WAV, MIDI, text, NPY and JSON in and out: bytes to a model's codes and back."""

from ancestral.media.codecs import (
    AudioCodec,
    Codec,
    Codes,
    Levels,
    Linear,
    MuLaw,
    Palette,
    Text,
    from_config,
    lost_in_int16,
)
from ancestral.media.decode import MEDIA_TYPES, declared, decode
from ancestral.media.errors import MediaError
from ancestral.media.files import files_under, listed
from ancestral.media.midi import Midi
from ancestral.media.nested import Item, from_array, from_nested, known_from_nested
from ancestral.media.npy import encode_npy
from ancestral.media.painting import encode_gif
from ancestral.media.picture import colour_table, encode_png, heat_map_pixels, heat_map_png, sheet
from ancestral.media.wav import encode_wav, pcm_bytes, wav_header

__all__ = [
    "MEDIA_TYPES",
    "AudioCodec",
    "Codec",
    "Codes",
    "Item",
    "Levels",
    "Linear",
    "MediaError",
    "Midi",
    "MuLaw",
    "Palette",
    "Text",
    "colour_table",
    "declared",
    "decode",
    "encode_gif",
    "encode_npy",
    "encode_png",
    "encode_wav",
    "files_under",
    "from_array",
    "from_config",
    "from_nested",
    "heat_map_pixels",
    "heat_map_png",
    "known_from_nested",
    "listed",
    "lost_in_int16",
    "pcm_bytes",
    "sheet",
    "wav_header",
]
