"""What server, agent and search share: the contract, the client, and the arithmetic of latencies."""
