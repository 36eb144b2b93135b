"""The networks as their papers describe them, a file each: `forward` gives the logits first, then auxiliary ones."""
