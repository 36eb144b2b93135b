"""The agent that measures operations and networks on its own device."""
