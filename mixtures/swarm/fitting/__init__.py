"""Response models fitted to the results of proxies: which model for which target, outliers, the fitted laws on disk.
Imported by the swarm alone, and by `hormesis predict`.
"""
