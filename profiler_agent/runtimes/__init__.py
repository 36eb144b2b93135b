"""Runtime modes: how a module is executed. `modes` has one file for each, `mode` opens them by their names."""
