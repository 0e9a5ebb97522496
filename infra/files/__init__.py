"""What is read and written beside artifacts: checksums, paths from outside, buckets, limits of open files. Knows
nothing of artifacts; everything may import it.
"""
