"""`hormesis score`: JSON Lines in, the same lines with scores and spans out. Only the front door imports it."""
