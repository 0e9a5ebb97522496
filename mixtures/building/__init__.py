"""The mixture stage at work: documents copied in order into token files, by as many workers as there are. Only
`mixtures.stage` starts it.
"""
