"""The report of a study: its input, its findings, tables, plots and the page. Only `analysis.study` imports it."""
