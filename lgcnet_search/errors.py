"""What becomes one line on the screen, without a traceback."""


class Refused(Exception):
    """The input, the data or a file does not allow what was asked for; the message names it and the way out."""
