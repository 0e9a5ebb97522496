"""Puts this folder's helpers (`simulated`, `made_up`) within reach of its tests, whatever pytest's import mode."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
