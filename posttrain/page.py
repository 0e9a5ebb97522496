"""What `hormesis show` draws for a fitted steering method."""

from __future__ import annotations

from collections.abc import Sequence

from infra.render.html import escape, table_html
from infra.render.page import Page, Table
from posttrain.fitted import Fitted

_ROWS = 40
_CELL = 22  # pixels

Accuracy = Sequence[Sequence[float]]
"""Layer by layer, the validation accuracy of each query head."""


def steering_page(name: str, fitted: Fitted) -> Page:
    """Method and facts; heads by validation accuracy; layer x head heat-map with the edited heads framed."""
    args = fitted.args.model_dump(mode="json", exclude={"name"})
    rows = (("method", fitted.method), *args.items(), *fitted.facts.figures.items(), ("model", fitted.model[:12]))
    tables = [Table("Fitted steering", ("what", "value"), rows)]
    html = table_html(tables[0])
    if accuracy := fitted.facts.head_accuracy:
        chosen = frozenset(fitted.facts.chosen_heads or ())
        tables.append(_heads_table(accuracy, chosen))
        html += heads_svg(accuracy, chosen) + table_html(tables[1])
    for table in _accuracy_tables(fitted):
        tables.append(table)
        html += table_html(table)
    return Page(f"{fitted.method} steering: {name}", tuple(tables), html)


def _accuracy_tables(fitted: Fitted) -> list[Table]:
    """Layers by their probes, and boundaries by their attributes, for methods that have them."""
    tables = []
    if layers := fitted.facts.layer_accuracy:
        chosen = fitted.facts.chosen_layers or ()
        rows = tuple((layer, value, "yes" if layer in chosen else "") for layer, value in enumerate(layers))
        tables.append(Table("Layers by validation accuracy", ("layer", "accuracy", "edited"), rows))
    if attributes := fitted.facts.attribute_accuracy:
        tables.append(Table("Boundaries by attribute", ("attribute", "accuracy"), tuple(attributes.items())))
    return tables


def _heads_table(accuracy: Accuracy, chosen: frozenset[tuple[int, int]]) -> Table:
    heads = [(value, layer, head) for layer, row in enumerate(accuracy) for head, value in enumerate(row)]
    heads.sort(key=lambda head: (-head[0], head[1:]))
    rows = tuple(
        (rank, layer, head, value, "yes" if (layer, head) in chosen else "")
        for rank, (value, layer, head) in enumerate(heads[:_ROWS], 1)
    )
    title = f"Heads by validation accuracy (best {len(rows)} of {len(heads)})"
    return Table(title, ("rank", "layer", "head", "accuracy", "edited"), rows)


def heads_svg(accuracy: Accuracy, chosen: frozenset[tuple[int, int]]) -> str:
    """Accuracy of every head as a colour from 0.5 (chance) to the best; layers upwards, edited heads framed."""
    best = max(max(row) for row in accuracy)
    layers, heads = len(accuracy), len(accuracy[0])
    cells = []
    for layer, row in enumerate(accuracy):
        for head, value in enumerate(row):
            share = max(0.0, min(1.0, (value - 0.5) / max(best - 0.5, 1e-9)))
            frame = ' stroke="#111" stroke-width="2"' if (layer, head) in chosen else ""
            cells.append(
                f'<rect x="{(head + 2) * _CELL}" y="{(layers - layer) * _CELL}" width="{_CELL - 2}" '
                f'height="{_CELL - 2}" fill="hsl(205 70% {95 - 60 * share:.0f}%)"{frame}>'
                f"<title>layer {layer}, head {head}: {value:.3f}</title></rect>"
            )
    names = [f'<text x="{(h + 2.4) * _CELL}" y="{(layers + 1.7) * _CELL}">{h}</text>' for h in range(heads)]
    names += [f'<text x="{_CELL}" y="{(layers - layer + 0.7) * _CELL}">{layer}</text>' for layer in range(layers)]
    title = escape(f"Validation accuracy by layer (upwards) and query head; best {best:.3f}; edited heads are framed")
    size = f'width="{(heads + 3) * _CELL}" height="{(layers + 2) * _CELL}"'
    drawing = f'<svg role="img" {size} font-size="11">{"".join(cells + names)}</svg>'
    return f"<figure>{drawing}<figcaption>{title}</figcaption></figure>"
