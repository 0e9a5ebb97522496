"""From a scorer to scores of documents: passages put together, settings of the machine, texts that must not be
scored. Imports scorers; steps and taggers import it.
"""
