"""Many ranks of one pipeline, wherever they run: processes of this machine, a Ray cluster, a Slurm array. Top room of
this floor; curation and mixtures run their work through here.
"""
