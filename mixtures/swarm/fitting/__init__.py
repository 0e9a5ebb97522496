"""Response models fitted to the results of proxies: which model for which target, outliers, the fitted laws on disk."""
