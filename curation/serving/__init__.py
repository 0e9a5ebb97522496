"""`hormesis score --serve`: local scorers behind Perspective's protocol. Only the front door imports it."""
