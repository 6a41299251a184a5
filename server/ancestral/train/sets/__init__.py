"""The data sets that recipes name; importing this package registers them."""

from ancestral.train.sets import audio, images, music, text, vectors

__all__ = ["audio", "images", "music", "text", "vectors"]
