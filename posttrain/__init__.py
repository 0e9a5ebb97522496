"""Post-training: steering methods fitted to a trained model, and the model that decodes under them. Imports `pretrain`
for models' folders; evaluations import it.
"""
