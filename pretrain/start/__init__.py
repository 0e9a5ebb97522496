"""What a run begins with, checked before anything is spent: its mixture, its weights, an earlier run. Launchers,
planning and training import it.
"""
