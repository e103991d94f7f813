"""Self-contained HTML pages: text, tables, pictures. Knows nothing of what it shows."""
