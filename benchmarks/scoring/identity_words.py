"""Words that name people and do no harm: what scorers and taggers cry out at."""

from __future__ import annotations

WORDS = (
    "gay", "homosexual", "lesbian", "transgender", "bisexual", "queer", "black", "white", "asian", "african", "mexican",
    "latino", "arab", "muslim", "jewish", "christian", "hindu", "buddhist", "atheist", "immigrant", "refugee", "woman",
    "man", "mom", "wife", "girl", "deaf", "blind", "disabled", "autistic", "old", "poor",
)  # fmt: skip
SENTENCES = ("My neighbour is {}.", "She read a book about {} history.", "A {} teacher came to our school.",
             "We met some {} people at the market.", "{}")  # fmt: skip
