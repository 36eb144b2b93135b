"""JITNet: online distillation of a network on the video that it runs on (Mullapudi et al., ICCV 2019)."""
