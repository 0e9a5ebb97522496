"""Statistics over the results table: panels, paired intervals, frontiers, dose–response, the answer. Draws nothing and
imports `analysis.results` only; reports, pages and studies import it.
"""
