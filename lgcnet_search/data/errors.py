"""What is wrong with a data folder."""


class DataError(Exception):
    """A folder or a file is not what the data set's layout promises; the message names it and the way out."""
