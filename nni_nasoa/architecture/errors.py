"""What is raised where an encoding describes no network."""


class ArchitectureError(ValueError):
    """An encoding that does not describe a network.

    The message is one line that names the part and the position.
    """
