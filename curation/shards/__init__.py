"""A shard, the unit of work of a pass: its documents read, stored between passes, removed with a reason, written as
Parquet. Steps are given shards and know no more of the run; nothing here knows a step.
"""
