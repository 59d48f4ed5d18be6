"""A real Kubernetes on this machine: two nodes that are regions, in network namespaces of their own. Root and Linux only."""
