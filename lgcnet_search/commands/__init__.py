"""What `lgcnet-search` can do, one file per command group."""
