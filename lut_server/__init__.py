"""The lookup-table service: the contract, the server and its client."""
