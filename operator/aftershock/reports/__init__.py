"""Journal in; terminal, JSON, JUnit, Markdown, HTML out."""
