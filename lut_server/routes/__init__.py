"""Thin routes, a file for each noun: parse, open a transaction, call the storage, answer."""
