"""The second searcher: a supernet trained path by path, and evolution with the weights that it leaves."""
