"""Top floor: steered models -> results, statistics and the report."""
