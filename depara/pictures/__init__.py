"""Pictures of single attributions and graphs: what a model looks at, what it finds alike."""
