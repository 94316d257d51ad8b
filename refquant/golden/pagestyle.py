"""The style of the HTML report: light or dark as the reader's system is, narrow or wide, and on paper."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2329; --faint: #5d6875; --line: #d8dee4; --panel: #f5f7f9;
  --cell: #e8edf2; --bad: #c62828; --good: #2b7a3d; --warn: #9a6200; --idle: #8793a0; --mark: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #dfe5ea; --faint: #98a4b0; --line: #323a43;
  --panel: #1c2228; --cell: #2a323a; --bad: #ff6b60; --good: #57bd6e; --warn: #e0a53c; --idle: #6d7984;
  --mark: #6db3ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; } h4 { font-size: .95rem; margin: 1.1rem 0 .3rem; }
p { margin: .3rem 0; } .faint, figcaption { color: var(--faint); } .faint { font-size: .9rem; }
h3 .faint { font-weight: normal; }
code, pre, summary b, td.number, svg text { font-family: ui-monospace, "SF Mono", Menlo, Consolas,
  "DejaVu Sans Mono", monospace; }
code, summary b { font-size: .87rem; overflow-wrap: anywhere; } summary b { font-weight: 600; word-break: break-all; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .6rem; margin: 1rem 0 .6rem; }
.totals div { background: var(--panel); border-radius: 8px; padding: .6rem .9rem; }
.totals b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.totals .none b { color: var(--faint); font-weight: normal; }
.bar { display: flex; height: 8px; border-radius: 4px; overflow: hidden; gap: 2px; }
.bar i { min-width: 3px; } .bar .pass { background: var(--good); } .bar .fail { background: var(--bad); }
.bar .error { background: var(--warn); } .bar .unsupported { background: var(--idle); }
.cause { border-left: 4px solid var(--bad); background: var(--panel); border-radius: 0 8px 8px 0; margin: .5rem 0;
  padding: .5rem .9rem; }
.cause.unknown { border-color: var(--idle); } .cause b code { font-size: 1rem; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .45rem 0; }
summary { cursor: pointer; padding: .5rem .8rem; overflow-wrap: anywhere; }
summary small { display: block; font-size: .88rem; color: var(--faint); padding-left: 1.05rem; }
summary .why { color: var(--bad); }
details[open] > summary { border-bottom: 1px solid var(--line); }
details > div { padding: .5rem .9rem .9rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: flex-start; }
figure { margin: .4rem 0; max-width: 100%; } figcaption { font-size: .85rem; max-width: 26rem; }
svg { max-width: 100%; height: auto; display: block; }
svg text { font-size: 11px; fill: var(--faint); } svg .axis { fill: var(--ink); }
svg .cells { fill: var(--cell); } svg .length { fill: var(--bad); }
svg .differs { fill: none; stroke: var(--bad); stroke-width: 1; shape-rendering: crispEdges; }
svg .fine { stroke: var(--paper); stroke-width: 1; fill: none; }
svg .thick { stroke: var(--faint); stroke-width: 1.2; fill: none; }
svg .ring { fill: none; stroke: var(--mark); stroke-width: 2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .25rem 1.1rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:last-child, th:last-child { padding-right: 0; }
th { font-weight: 600; color: var(--faint); } td.number { font-size: .85rem; }
.whole, td small { white-space: nowrap; } td.made { min-width: 11rem; }
td.count, th.count { text-align: right; font-variant-numeric: tabular-nums; } td.zero { color: var(--idle); }
td small { color: var(--faint); font-size: .85em; }
pre { background: var(--panel); border-radius: 8px; padding: .7rem .9rem; margin: .4rem 0; font-size: .82rem;
  line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; }
ul { margin: .3rem 0; padding-left: 1.2rem; } footer { margin-top: 2.5rem; }
@media (max-width: 40rem) { body { padding: 1rem .7rem 2rem; font-size: 14px; }
  details > div { padding: .4rem .6rem .7rem; } .totals { grid-template-columns: 1fr 1fr; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  details::details-content { content-visibility: visible; height: auto; }
  figure, .cause, tr { break-inside: avoid-page; } h2, h3, h4, summary { break-after: avoid-page; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
