"""NAS-Bench-201 (Dong and Yang, 2020) as networks of operations; it builds no module."""
