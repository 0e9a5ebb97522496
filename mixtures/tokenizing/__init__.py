"""Text and spans to token ids and risk bytes, and the tokenised corpus that all doses share."""
