"""One file a kind of indicator; the ledger; the open-loop load generator. All of it runs in a process of its own."""
