"""What the papers claim of their mechanisms, each measured by training with it and without."""
