"""Every query, one file per noun. Functions take a session, return schemas, and never commit."""
