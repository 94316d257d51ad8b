// Interactive figures: sliders over curves that arithmetic.js computes. A page asks for one by
// <div class="quantizer-figure">, <div class="pact-figure"> or <div class="thresholds-figure">.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const WIDEST = 720, LEFT = 44, RIGHT = 12, TOP = 22, GAP = 34;
const POINTS = 1201;

function element(parent, name, attributes = {}, text = "") {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

// A figure is controls, panels over one x axis, and a line of text below. `draw(values)` returns
// {x: [low, high], panels: [{title, y: [low, high], height, curves: [{name, f, dashed}], marks}], text}.
function figure(root, controls, draw) {
  const form = element(root, "form", { class: "figure-controls" });
  const inputs = controls.map((control) => input(form, control));
  const svg = element(root, "svg:svg", { role: "img" });
  const output = element(root, "output", { class: "figure-text" });
  const update = () => {
    const values = Object.fromEntries(inputs.map((read) => read()));
    const { x, panels, text } = draw(values);
    svg.replaceChildren();
    const width = Math.min(WIDEST, root.clientWidth || WIDEST); // a pixel each, so that text is as large on a phone
    let y = TOP;
    panels.forEach((panel, i) => {
      drawPanel(svg, panel, x, y, width, i === panels.length - 1);
      y += panel.height + GAP;
    });
    svg.setAttribute("viewBox", `0 0 ${width} ${y}`);
    svg.setAttribute("aria-label", text);
    output.textContent = text;
  };
  form.addEventListener("input", update);
  addEventListener("resize", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

function input(form, { name, label, options, min, max, step, value }) {
  const row = element(form, "label", {}, `${label} `);
  if (options) {
    const select = element(row, "select", { name });
    for (const option of options) element(select, "option", { value: option }, option);
    select.value = value;
    return () => [name, select.value];
  }
  const slider = element(row, "input", { type: "range", name, min, max, step, value });
  const shown = element(row, "span");
  return () => {
    shown.textContent = slider.value;
    return [name, Number(slider.value)];
  };
}

function drawPanel(svg, { title, y: [low, high], height, curves, marks = [] }, [first, last], top, width, labelled) {
  const right = width - RIGHT;
  const atX = (x) => LEFT + ((x - first) / (last - first)) * (right - LEFT);
  const atY = (y) => top + ((high - y) / (high - low)) * height;
  element(svg, "svg:text", { x: LEFT, y: top - 7, class: "title" }, title);
  element(svg, "svg:rect", { x: LEFT, y: top, width: right - LEFT, height, class: "frame" });
  for (const y of ticks(low, high, height > 110 ? 4 : 2)) {
    element(svg, "svg:line", { x1: LEFT, x2: right, y1: atY(y), y2: atY(y), class: "grid" });
    element(svg, "svg:text", { x: LEFT - 5, y: atY(y) + 4, class: "tick y" }, label(y));
  }
  for (const x of ticks(first, last, width / 90)) {
    element(svg, "svg:line", { x1: atX(x), x2: atX(x), y1: top, y2: top + height, class: "grid" });
    if (labelled) element(svg, "svg:text", { x: atX(x), y: top + height + 15, class: "tick x" }, label(x));
  }
  for (const x of marks) element(svg, "svg:line", { x1: atX(x), x2: atX(x), y1: top, y2: top + height, class: "mark" });
  let legend = right;
  curves.forEach(({ name, f, dashed }, i) => {
    let d = "", drawn = false;
    for (let k = 0; k < POINTS; k++) {
      const x = first + ((last - first) * k) / (POINTS - 1), y = f(x);
      const inside = low <= y && y <= high; // what leaves the panel is not drawn
      if (inside) d += `${drawn ? "L" : "M"}${atX(x).toFixed(2)} ${atY(y).toFixed(2)}`;
      drawn = inside;
    }
    element(svg, "svg:path", { d, class: `curve c${i}${dashed ? " dashed" : ""}`, "data-name": name });
  });
  [...curves.entries()].reverse().forEach(([i, { name }]) => {
    const text = element(svg, "svg:text", { x: legend, y: top - 7, class: `legend c${i}` }, name);
    legend -= text.getComputedTextLength() + 14;
  });
}

// Round numbers between both ends, about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

const label = (v) => String(Number(v.toPrecision(3))).replace("-", "\u2212");

function quantizerFigure(root) {
  figure(root, [
    { name: "bits", label: "bits", min: 2, max: 6, step: 1, value: 3 },
    { name: "clip", label: "clip", min: 0.3, max: 1.5, step: 0.05, value: 1 },
    { name: "mode", label: "rounding", options: Object.keys(GOES_UP), value: "half_even" },
    { name: "format", label: "codes", options: ["signed, narrow", "unsigned"], value: "signed, narrow" },
  ], ({ bits, clip: alpha, mode, format }) => {
    const q = quantizer({ bits, signed: format !== "unsigned", clip: alpha, mode });
    const error = (x) => q.value(x) - x;
    const at = 0.4;
    return {
      x: [-1.6, 1.6],
      panels: [
        { title: "value", y: [-1.6, 1.6], height: 200,
          curves: [{ name: "quantized", f: q.value }, { name: "x", f: (x) => x, dashed: true }] },
        { title: "error", y: [-0.7, 0.7], height: 70, curves: [{ name: "quantized − x", f: error }] },
        { title: "gradient", y: [-0.1, 1.2], height: 60,
          curves: [{ name: "straight through", f: q.gradient }] },
      ],
      text: `scale ${q.scale}; x = ${at} has the code ${q.code(at)}, the value ${q.value(at)}, `
        + `the gradient ${q.gradient(at)}`,
    };
  });
}

function pactFigure(root) {
  figure(root, [
    { name: "bits", label: "bits", min: 2, max: 6, step: 1, value: 2 },
    { name: "alpha", label: "\u03b1", min: 0.5, max: 2, step: 0.05, value: 1.5 },
  ], ({ bits, alpha }) => {
    const q = pact({ bits, alpha });
    const at = 0.7;
    return {
      x: [-0.5, 2.5],
      panels: [
        { title: "y", y: [-0.2, 2.2], height: 140, marks: [alpha],
          curves: [{ name: "y", f: q.value }, { name: "x", f: (x) => x, dashed: true }] },
        { title: "dy/dα of one element", y: [-0.6, 1.1], height: 140, marks: [alpha],
          curves: [{ name: "CG-PACT", f: q.calibrated }, { name: "PACT", f: q.clipped, dashed: true }] },
      ],
      text: `x = ${at}: y = ${q.value(at)}, dy/d\u03b1 = ${q.calibrated(at)} by CG-PACT, ${q.clipped(at)} by PACT`,
    };
  });
}

function thresholdsFigure(root) {
  const length = (k, value) => ({ name: `a${k}`, label: `a${k}`, min: 0.1, max: 2, step: 0.05, value });
  figure(root, [
    { name: "start", label: "start", min: -0.5, max: 0.5, step: 0.05, value: 0.1 },
    length(1, 0.4), length(2, 0.9), length(3, 1.5),
  ], ({ start, a1, a2, a3 }) => {
    const q = thresholds({ a: [a1, a2, a3], start });
    const at = 0.9;
    return {
      x: [-1, 4],
      panels: [
        { title: "level", y: [-0.2, 3.3], height: 170, marks: q.cuts,
          curves: [{ name: "q(z)", f: q.level }, { name: "E(z)", f: q.expected, dashed: true }] },
        { title: "dE/dz", y: [0, 5], height: 70, marks: q.grid, curves: [{ name: "dE/dz", f: q.slope }] },
        { title: "dE/da", y: [-5, 0.5], height: 90, marks: q.grid,
          curves: [1, 2, 3].map((k) => ({ name: `a${k}`, f: (z) => q.lengthSlope(z, k) })) },
      ],
      text: `z = ${at}: level ${q.level(at)}, E = ${q.expected(at)}, dE/dz = ${q.slope(at)}, dE/da = `
        + [1, 2, 3].map((k) => q.lengthSlope(at, k)).join(", "),
    };
  });
}

const FIGURES = { quantizer: quantizerFigure, pact: pactFigure, thresholds: thresholdsFigure };

document.addEventListener("DOMContentLoaded", () => {
  for (const [name, draw] of Object.entries(FIGURES)) {
    document.querySelectorAll(`.${name}-figure`).forEach((root) => draw(root));
  }
});
