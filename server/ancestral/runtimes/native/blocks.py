"""Products of any shape out of tiles, and elementwise functions of any kind."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native.lanes import LANES, bytes_of, call_kernel

# the numbers of the routines in `kernels`
VECTORS, WEIGHTED, EXP = range(3)
T18, T14, T12, T11, T24, T22, T21, T44, T42, T41, T82, T81 = range(3, 15)


@njit
def product(
    like, kernel, segs, count, rows, weights, panel_bytes, panels, bias, more, m_stride, y, y_stride
):
    """y [rows, panels · LANES] = bias + more + x Wᵀ, `segs` says where x lies."""
    wide = LANES * bytes_of(like)
    p = 0
    while p < panels:
        left = panels - p
        w, c = weights + p * panel_bytes, bias + p * wide
        a, o = (more + p * wide if more else 0), y + p * wide
        r = 0
        if rows == 1:
            if left >= 8:
                call_kernel(
                    kernel, T18, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                p += 8
            elif left >= 4:
                call_kernel(
                    kernel, T14, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                p += 4
            elif left >= 2:
                call_kernel(
                    kernel, T12, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                p += 2
            else:
                call_kernel(
                    kernel, T11, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                p += 1
        elif rows < 8 and left >= 4:
            if rows - r >= 4:
                call_kernel(
                    kernel, T44, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 4
            if rows - r >= 2:
                call_kernel(
                    kernel, T24, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 2
            if rows - r >= 1:
                call_kernel(
                    kernel, T14, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
            p += 4
        elif left >= 2:
            while rows - r >= 8:
                call_kernel(
                    kernel, T82, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 8
            if rows - r >= 4:
                call_kernel(
                    kernel, T42, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 4
            if rows - r >= 2:
                call_kernel(
                    kernel, T22, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 2
            if rows - r >= 1:
                call_kernel(
                    kernel, T12, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
            p += 2
        else:
            while rows - r >= 8:
                call_kernel(
                    kernel, T81, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 8
            if rows - r >= 4:
                call_kernel(
                    kernel, T41, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 4
            if rows - r >= 2:
                call_kernel(
                    kernel, T21, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
                r += 2
            if rows - r >= 1:
                call_kernel(
                    kernel, T11, segs, count, r, w, panel_bytes, c, a, m_stride, o, y_stride
                )
            p += 1
