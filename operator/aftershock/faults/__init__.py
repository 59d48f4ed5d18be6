"""What can be made to fail: one file a fault, one line each in `registry.py`."""
