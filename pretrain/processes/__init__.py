"""The processes of a training and how they talk to the command that has started them: through the work folder.
Launchers start what is here.
"""
