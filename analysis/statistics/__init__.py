"""Statistics over the results table: panels, paired intervals, frontiers, dose–response, the answer. Draws nothing."""
