"""The pairs of codes that one accumulator of a convolution sums: what a MAC unit is fed, in order."""
from __future__ import annotations

import numpy as np

from refquant.gemm import Geometry
from refquant.golden.families.conv_stimuli import geometry


def _met(how: Geometry, position, kernel) -> tuple[int, int]:
    """The input position that an output position meets at a kernel element."""
    row, column = (position[a] * how.stride[a] - how.padding[2 * a] + kernel[a] * how.dilation[a] for a in (0, 1))
    return row, column


def _inside(position, size) -> bool:
    return 0 <= position[0] < size[0] and 0 <= position[1] < size[1]


def forward_terms(attrs, inputs, index):
    """Patch of x and filter of w behind y[b, o, p, q]; padding has x's zero point."""
    x, w, how = inputs["in_x"], inputs["in_w"], geometry(attrs)
    b, o, p, q = index
    per_group = w.shape[1]
    first = o // (w.shape[0] // attrs["groups"]) * per_group
    patch = []
    for c, i, j in np.ndindex(w.shape[1:]):
        at = _met(how, (p, q), (i, j))
        patch.append(x[b, first + c, at[0], at[1]] if _inside(at, x.shape[2:]) else attrs["x_zero_point"])
    bias = {"bias": inputs["in_bias"][o]} if "in_bias" in inputs else {}
    return {"x": np.array(patch), "w": w[o].reshape(-1)} | bias


def dx_terms(attrs, inputs, index):
    """The outputs that input [b, c, h, v] went into, and the weights it met there."""
    g, w, how = inputs["in_g"], inputs["in_w"], geometry(attrs)
    b, c, *position = index
    per_group, outputs, pairs = w.shape[1], w.shape[0] // attrs["groups"], []
    for o in range(c // per_group * outputs, (c // per_group + 1) * outputs):
        for i, j in np.ndindex(w.shape[2:]):
            reached = [position[a] + how.padding[2 * a] - (i, j)[a] * how.dilation[a] for a in (0, 1)]
            (p, row), (q, column) = (divmod(reached[a], how.stride[a]) for a in (0, 1))
            if row == column == 0 and _inside((p, q), g.shape[2:]):
                pairs.append((g[b, o, p, q], w[o, c % per_group, i, j]))
    gs, ws = zip(*pairs, strict=True) if pairs else ((), ())
    return {"g": np.array(gs, g.dtype), "w": np.array(ws, w.dtype)}


def dw_terms(attrs, inputs, index):
    """The inputs that weight [o, c, i, j] met, padding included, and the gradients there."""
    x, g, how = inputs["in_x"], inputs["in_g"], geometry(attrs)
    o, c, i, j = index
    groups = attrs["groups"]
    channel = o // (g.shape[1] // groups) * (x.shape[1] // groups) + c
    met = []
    for b, p, q in np.ndindex(g.shape[0], *g.shape[2:]):
        at = _met(how, (p, q), (i, j))
        met.append(x[b, channel, at[0], at[1]] if _inside(at, x.shape[2:]) else attrs["x_zero_point"])
    return {"x": np.array(met), "g": g[:, o].reshape(-1)}
