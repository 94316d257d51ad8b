// The arithmetic of the book's interactive figures: the library's own operations, in the same order, in float64.
// A test holds every function here against refquant, number by number (tests/book/test_interactive.py).
"use strict";

// refquant.integers.rounding: does an inexact value go up from the integer below it? `below` and `half` say where the
// remainder above that integer lies against one half.
const GOES_UP = {
  half_even: (below, half, negative, odd) => half ? odd : !below,
  half_away: (below, half, negative) => half ? !negative : !below,
  half_up: (below) => !below,
  half_down: (below, half) => !(below || half),
  half_zero: (below, half, negative) => half ? negative : !below,
  floor: () => false,
  ceil: () => true,
  trunc: (below, half, negative) => negative,
  away: (below, half, negative) => !negative,
  odd: (below, half, negative, odd) => !odd,
};

function round(mode, x) {
  const distance = Math.abs(x - Math.trunc(x)); // loses no bit
  if (!(distance > 0)) return x;
  const floor = Math.floor(x);
  const negative = x < 0;
  const below = negative ? distance > 0.5 : distance < 0.5;
  return GOES_UP[mode](below, distance === 0.5, negative, floor % 2 !== 0) ? floor + 1 : floor;
}

const clip = (x, low, high) => Math.min(Math.max(x, low), high);

// refquant.integers.quantize and ste_gradient: unsigned codes of `bits`, or signed narrow ones, covering [-clip, clip]
// or [0, clip].
function quantizer({ bits, signed, clip: alpha, mode }) {
  const qmax = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const qmin = signed ? -qmax : 0;
  const scale = alpha / qmax;
  const code = (x) => clip(round(mode, x / scale), qmin, qmax);
  return {
    scale, code,
    value: (x) => scale * code(x),
    gradient: (x) => (qmin <= x / scale && x / scale <= qmax ? 1 : 0),
  };
}

// refquant.quantizers.sat.pact: unsigned, and the two rules for alpha's gradient of one element.
function pact({ bits, alpha }) {
  const top = 2 ** bits - 1;
  const value = (x) => (alpha / top) * round("half_even", clip((x / alpha) * top, 0, top));
  return {
    value,
    clipped: (x) => (x >= alpha ? 1 : 0),
    calibrated: (x) => (x >= alpha ? 1 : x > 0 ? (value(x) - clip(x, 0, alpha)) / alpha : 0),
  };
}

// refquant.quantizers.n2uq: intervals a from `start`, both scales 1.
function thresholds({ a, start }) {
  const grid = [start];
  for (const length of a) grid.push(grid[grid.length - 1] + length);
  const cuts = a.map((length, i) => grid[i] + length / 2);
  const segment = (z) => grid.filter((d) => d <= z).length; // 1 to K; 0 and K + 1 outside
  return {
    grid, cuts,
    level: (z) => cuts.filter((cut) => cut <= z).length,
    expected: (z) => a.reduce((sum, length, i) => sum + clip((z - grid[i]) / length, 0, 1), 0),
    slope: (z) => (segment(z) >= 1 && segment(z) <= a.length ? 1 / a[segment(z) - 1] : 0),
    lengthSlope: (z, k) => { // dE/da_k, k from 1
      const i = segment(z);
      if (i < 1 || i > a.length || k > i) return 0;
      return k < i ? -(1 / a[i - 1]) : -(((1 / a[i - 1]) * (z - grid[i - 1])) / a[i - 1]);
    },
  };
}
