"""Top floor: steered models to results, statistics and the report of a study. Nothing but the front door imports it."""
