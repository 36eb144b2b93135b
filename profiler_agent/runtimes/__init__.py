"""Runtime modes: how a module is executed. One file per mode; `mode` has their interface and their list."""
