"""The best mixture within limits, for fitted response models, and how sure it is. Imported by the swarm alone."""
