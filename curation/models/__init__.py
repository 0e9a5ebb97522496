"""Models and curves that were trained here, as scorers, steps and taggers use them: loaded, asked, written. Imports
no scorer; `curation.training` makes what is here.
"""
