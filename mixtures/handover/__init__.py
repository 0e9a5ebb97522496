"""Handing a built mixture to the next tool: OLMo-core, the Hugging Face hub, and the card that goes with either. Only
`mixtures.stage` imports it.
"""
