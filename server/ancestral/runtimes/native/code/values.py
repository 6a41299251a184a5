"""A site's values, drawn or given, and its codes written for the network to read."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address
from ancestral.runtimes.native.code.categories import categorical
from ancestral.runtimes.native.code.draw import (
    CATEGORICAL,
    CHANNELS,
    JOINT,
    KIND,
    LEVELS,
    SIZE,
    VECTORS,
    log_prob,
    sample,
)
from ancestral.runtimes.native.code.lanes import bytes_of
from ancestral.runtimes.native.code.memory import integer, store
from ancestral.runtimes.native.code.noise import uniforms
from ancestral.runtimes.native.code.pixels import log_prob_pixel, sample_pixel


@njit
def draw(
    like, kernel, sub, site, subs, ends, stand, ranks, phases, lengths, config, slots_data, chunk
):
    """Draw a sub-step's values of every slot, or take those that are fixed, and write the codes."""
    vectors, channels, joint = config[VECTORS], config[CHANNELS], config[JOINT]
    seeds, items, temperatures, top_ks, top_ps, masses, pixel, words = slots_data
    values, fixed, nats = chunk
    one_by_one = subs > 1 and vectors > 1
    first, last = (sub, sub + 1) if one_by_one else (0, channels)
    size = config[SIZE] * bytes_of(like)
    for slot in range(integer(stand, f.N)):
        params = address(ends, f.OUT, slot, stand, ranks, phases, lengths)
        temperature, top_k, top_p = temperatures[slot], top_ks[slot], top_ps[slot]
        own = values[slot, site]
        for d in range(first, last):
            u, v = uniforms(seeds[slot], items[slot], integer(ranks, slot), d)
            words[d, 0], words[d, 1] = u, v
        if joint:
            if not fixed[slot, site, 0]:
                sample_pixel(
                    like, kernel, config, params, channels, words, temperature, pixel, masses
                )
                for d in range(channels):
                    own[d] = pixel[d]
            log_prob_pixel(like, kernel, config, params, channels, own, nats[slot, site], masses)
        else:
            for d in range(first, last):
                vector = params + (d if vectors > 1 else 0) * size
                known = fixed[slot, site, d]
                if config[KIND] == CATEGORICAL:
                    own[d], nats[slot, site, d] = categorical(
                        like, kernel, vector, config[LEVELS], words[d, 0], temperature, top_k,
                        top_p, own[d], known, masses,
                    )  # fmt: skip
                    continue
                if not known:
                    own[d] = sample(
                        like, kernel, config, vector, words[d, 0], words[d, 1], temperature, masses
                    )
                nats[slot, site, d] = log_prob(like, kernel, config, vector, own[d], masses)
        codes = address(ends + 8 * f.FIELDS, f.OUT, slot, stand, ranks, phases, lengths)
        for d in range(first, last):
            store(like, codes, d, like - like + own[d])
