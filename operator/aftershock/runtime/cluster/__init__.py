"""Actions over the Kubernetes API: what the operator, an executor and a reaper do in a cluster."""
