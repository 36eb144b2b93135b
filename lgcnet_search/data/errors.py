"""What is wrong with a data folder."""

from lgcnet_search.errors import Refused


class DataError(Refused):
    """A folder or a file is not what the data set's layout promises; the message names it and the way out."""
