"""How a curation runs: sources split into shards, passes of steps over them, and the finish. Only `curation.stage`
starts it.
"""
