"""The reference stacks on this machine, and the small meetings service that they run."""
