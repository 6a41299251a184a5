"""One worker's work: load a package, score, sample and stream."""
