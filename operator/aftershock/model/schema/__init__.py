"""What the Kubernetes API server is told of each kind: a structural schema from the same types and rules that `validate` uses.

Pure. Faults are passed in by who may import them (`runtime.cluster.crds`).
"""
