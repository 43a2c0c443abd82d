"""The page that a report is written on: markup, style and frames, no numbers."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb;
  --wash: #f5f7fa; --paper: #fff; --own: #eef4ff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #9aa5b1;
  --line: #323f4b; --wash: #12161c; --paper: #1b2028; --own: #1c2b45; }
  figure img { filter: invert(0.9) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 36px 0 12px; }
p.lead { color: var(--soft); margin: 0 0 16px; }
section.card, figure { background: var(--paper); border: 1px solid var(--line);
  border-radius: 10px; padding: 16px; margin: 0 0 16px; }
ul.verdict { margin: 0; padding-left: 1.1em; } ul.verdict li { margin: 4px 0; }
.tiles { display: grid; gap: 12px; margin: 0 0 16px;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.tile { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .84rem; display: block; }
.grid { display: grid; gap: 16px; margin-bottom: 16px;
  grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: start; }
.grid figure, .grid .card { margin: 0; }
figure { padding: 10px; } figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .86rem; padding: 6px 6px 2px; }
.scroll { overflow-x: auto; } p.note { color: var(--soft); font-size: .86rem;
  margin: 10px 0 0; } pre { overflow-x: auto; font-size: .8rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th.text, td.text { text-align: left; white-space: normal; min-width: 14em; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom;
  white-space: normal; }
td.own, th.own { background: var(--own); color: var(--ink); font-weight: 600; }
details summary { cursor: pointer; font-weight: 600; } details p { margin: 8px 0; }
a { color: inherit; } dl { margin: 8px 0 0; } dt { font-weight: 600; margin-top: 8px; }
dd { margin: 0; color: var(--soft); }
footer { color: var(--soft); font-size: .84rem; margin-top: 32px; }
@media (max-width: 760px) { .grid { grid-template-columns: minmax(0, 1fr); }
  main { padding: 16px 10px 32px; } th, td { padding: 6px 7px; }
  th:first-child, td:first-child { white-space: normal; min-width: 9em;
    position: sticky; left: 0; background: var(--paper); }
  table { font-size: .82rem; } .card:has(table) { padding: 12px 10px; }
  figure { padding: 4px; } h1 { font-size: 1.35rem; } }
@media print { body { background: #fff; } figure, .card { break-inside: avoid; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Write a whole page."""
    head, *rest = (part for part in parts if part)
    body = "\n".join((head, _contents(rest), *rest))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _contents(parts: Sequence[str]) -> str:
    """Link to the sections of a long page, folded away."""
    found = re.findall(r'<h2 id="(.*?)">(.*?)</h2>', "".join(parts))
    if len(found) < 5:
        return ""
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in found)
    return f"<details><summary>Contents</summary><ul>{links}</ul></details>"


def section(title: str, *parts: str) -> str:
    """Write a heading and what follows it, or nothing if nothing follows."""
    body = "\n".join(part for part in parts if part)
    name = re.sub(r"\W+", "-", title.lower()).strip("-")
    return f'<h2 id="{name}">{escape(title)}</h2>\n{body}' if body else ""


def card(markup: str) -> str:
    """Wrap markup in a card."""
    return f'<section class="card">{markup}</section>'


def tiles(items: Sequence[tuple[str, str]]) -> str:
    """Write numbers large, each with what it is below."""
    cells = [
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
        for value, label in items
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def figure(source: str, text: str, caption: str = "") -> str:
    """Write a picture."""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escape(text)}" src="{source}">{below}</figure>'


def draw_figure(draw: Callable[[Axes], object], text: str, caption: str) -> str:
    """Draw one figure with its caption."""
    picture, ax = new_figure()
    draw(ax)
    return figure(encode(picture), text, caption)


def new_figure() -> tuple[Figure, Axes]:
    """Create axes without a window."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "A report needs matplotlib. Install it with `pip install 'skbatch[plot]'`."
        ) from error
    # Half a page wide on a desktop and a whole one on a phone, legible on both.
    picture = Figure(figsize=(5.2, 3.5), layout="constrained")
    return picture, picture.subplots()


def encode(picture: Figure) -> str:
    """Write a figure as SVG, which is sharp on every screen, in a data URI."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # The same result gives the same file, byte for byte.
    with rc_context({"svg.hashsalt": "skbatch"}):
        picture.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{text}"


def grid(parts: Iterable[str]) -> str:
    """Arrange pictures and tables side by side, where there is room."""
    return f'<div class="grid">{"".join(parts)}</div>'


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    own: int | None = None,
    text: Sequence[int] = (),
    note: str = "",
) -> str:
    """Write a table that scrolls sideways where it is too wide."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [
            "own" if number == own else "text" if number in text else ""
            for number in range(len(cells))
        ]
        return "".join(
            f"<{tag}{f' class={kind!r}' if kind else ''}>{escape(str(cell))}</{tag}>"
            for cell, kind in zip(cells, kinds, strict=True)
        )

    body = "".join(f"<tr>{line(cells, 'td')}</tr>" for cells in rows)
    return card(
        f'<div class="scroll"><table><thead><tr>{line(header, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        + (f'<p class="note">{escape(note)}</p>' if note else "")
    )
