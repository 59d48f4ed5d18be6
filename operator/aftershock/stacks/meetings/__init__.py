"""The meetings service: a small real program with real SQL, for faults to be tried on. It knows nothing of Aftershock."""
