"""How a page looks, in the light and in the dark."""

from __future__ import annotations

__all__ = ["STYLE"]

#: The series' colours are those of Okabe and Ito (Color Universal Design, 2008), which colour-blind people distinguish;
#: darker in the light and lighter in the dark where they would be too faint, grey in place of black.
STYLE = """
:root {
  --paper: #ffffff; --ink: #1c1e21; --faint: #5f656d; --grid: #e3e5e8;
  --series-0: #0072b2; --series-1: #d55e00; --series-2: #009e73; --series-3: #b8568c;
  --series-4: #c78500; --series-5: #3a9fdb; --series-6: #8c8000; --series-7: #6b7178;
}
@media (prefers-color-scheme: dark) { :root {
  --paper: #15171b; --ink: #e6e8eb; --faint: #a0a6ae; --grid: #2f333a;
  --series-0: #3f95d6; --series-1: #ec7430; --series-2: #1fbd92; --series-3: #dc8fbc;
  --series-4: #f0ac2e; --series-5: #8ccbf2; --series-6: #f0e442; --series-7: #9aa0a8;
} }
body {
  margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; margin: 0 0 .8rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p, li { color: var(--faint); margin: .2rem 0; }
p.note { color: var(--series-1); }
dl { display: flex; flex-wrap: wrap; gap: .5rem 1.6rem; margin: 0; }
dt { color: var(--faint); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; font-family: system-ui, sans-serif; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; padding: 0; margin: .4rem 0; }
.legend li { display: flex; align-items: center; gap: .4rem; color: var(--ink); overflow-wrap: anywhere; }
.key { width: 28px; flex: none; stroke-width: 2.5; fill: none; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
.pair figure { margin: 0; flex: 0 1 auto; min-width: min(100%, 18rem); }
figcaption { color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { font-weight: 500; color: var(--faint); text-align: left; border-bottom: 1px solid var(--faint); }
th, td { padding: .15rem 1.4rem .15rem 0; }
tr.first td { border-top: 1px solid var(--grid); }
tr.first td:first-child, tr.main td.number { font-weight: 600; }
.number { text-align: right; }
"""
