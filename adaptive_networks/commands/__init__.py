"""What every system's commands share: training options, measuring by an agent, expectations, pictures."""
