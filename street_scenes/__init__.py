"""How one generated street scene is laid out, drawn and shaded; `street_scenes` writes them as a data set."""
