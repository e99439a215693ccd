"""Everything that looks at a configuration before anything is built from it."""
