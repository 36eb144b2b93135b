"""What stands in a street: each thing is a function of the stage and a place, painted when its distance comes up."""
