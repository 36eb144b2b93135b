"""One file per runtime mode, named after it: its ENTRY says what it is, and opens it."""
