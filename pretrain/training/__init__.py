"""The loop: a trainer, an optimizer, checkpoints, evaluation, and the model handed over at the end. Imports every other
room of this floor but planning, launchers and processes; the stage, the launcher `local` and every worker process start
it, through `here.py`.
"""
