"""What `lut-server` can do besides serving, one file per command group."""
