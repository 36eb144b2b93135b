"""The paper's ablations, each a named setting: which networks, made how, in which table."""
