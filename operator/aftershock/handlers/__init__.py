"""kopf's side of the operator: it watches, and hands over. The only importer of kopf, and no place for decisions."""
