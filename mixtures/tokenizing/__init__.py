"""Text and spans to token ids and risk bytes, and the tokenised corpus that all doses share. The store's stages make
it; selection, planning and building read it.
"""
