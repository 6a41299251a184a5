"""Products of any shape out of tiles, and elementwise functions of any kind."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel

GROUP = 2  # panels side by side, as `products` packs them

# forms of packed weights, see `forms`, and the vectors that stand beside a panel of each
FULL, BF16, INT8, NARROW = range(4)
RECORD = (1, 1, 3, 1)
FORM_NAMES = ("", " of bf16", " of int8", "")

# the numbers of the routines in `kernels`
VECTORS, WEIGHTED, MASSES, DOTS, SOFTMAX, FLASH, NORM = range(7)
T18, T14, T12, T11, T24, T22, T21, T44, T42, T41, T82, T81 = range(7, 19)
NARROW_1 = 19  # and those of 2 … outputs


@njit
def product(
    like, kernel, form, segs, count, rows, weights, size, first, panels, bias, more, m_stride, y,
    y_stride
):  # fmt: skip
    """y [rows, panels · LANES] = bias + more + x Wᵀ of `size` inputs; `segs` says where x lies.

    It may hold some of the inputs only, from `first` on. Of a narrow product `panels` are outputs.
    """
    if form == NARROW:
        for r in range(rows):
            call_kernel(
                kernel, NARROW_1 + panels - 1, segs, count, r, weights, size * bytes_of(like), bias,
                more, m_stride, y, y_stride,
            )  # fmt: skip
        return
    wide = LANES * bytes_of(like)
    each = LANES * (1 if form == INT8 else 2 if form == BF16 else bytes_of(like))
    panel = size * each
    record = wide * (3 if form == INT8 else 1)
    group_bytes = GROUP * panel
    p = 0
    while p < panels:
        left = panels - p
        beside = 1 if left == 1 and form == FULL else GROUP
        w, c = weights + p * panel + first * beside * each, bias + p * record
        a, o = (more + p * wide if more else 0), y + p * wide
        if rows == 1:
            if left >= 8:
                which, step = T18, 8
            elif left >= 4:
                which, step = T14, 4
            elif left >= 2:
                which, step = T12, 2
            else:
                which, step = T11, 1
            call_kernel(kernel, which, segs, count, 0, w, group_bytes, c, a, m_stride, o, y_stride)
            p += step
            continue
        r = 0
        if rows < 8 and left >= 4:
            step, four, two, one = 4, T44, T24, T14
        elif left >= 2:
            step, four, two, one = 2, T42, T22, T12
        else:
            step, four, two, one = 1, T41, T21, T11
        eight = T82 if step == 2 else T81
        if rows >= 8:
            eights = rows // 8
            call_kernel(
                kernel, eight, segs, count, eights, w, group_bytes, c, a, m_stride, o, y_stride
            )
            r = 8 * eights
        if rows - r >= 4:
            call_kernel(kernel, four, segs, count, r, w, group_bytes, c, a, m_stride, o, y_stride)
            r += 4
        if rows - r >= 2:
            call_kernel(kernel, two, segs, count, r, w, group_bytes, c, a, m_stride, o, y_stride)
            r += 2
        if rows - r >= 1:
            call_kernel(kernel, one, segs, count, r, w, group_bytes, c, a, m_stride, o, y_stride)
        p += step
