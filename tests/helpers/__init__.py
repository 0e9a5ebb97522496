"""What several test files need: small corpora, models, mixtures and runs made in the formats of real ones, a Slurm of
four shell programs, and where the checkout is. Tests import it by its whole name, from whatever folder they are in.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"  # data that is beside the checkout and never in it; what needs it is skipped without it
