"""Markdown that GitHub and the hub read as it was meant: one row a line, no cell that begins another or a tag."""

from ruamel.yaml import YAML

from infra.render.markdown import card, markdown
from infra.render.page import Table


def test_a_cell_ends_no_row_and_begins_no_tag():
    table = Table("counts", ("what", "value"), (("a|b\nc", 1234), ("<script>", None)))
    assert markdown(table).splitlines() == [
        "**counts**", "", "| what | value |", "| --- | --- |", "| a\\|b c | 1,234 |", "| &lt;script> |  |",
    ]  # fmt: skip


def test_a_card_is_a_yaml_header_and_the_sections_that_say_something():
    header = {"license": "other", "tags": ["risk: yes"]}
    _, yaml, text = card(header, ["# Title", "", "Body"]).split("---\n")
    assert YAML(typ="safe").load(yaml) == header
    assert text == "\n# Title\n\nBody\n"
