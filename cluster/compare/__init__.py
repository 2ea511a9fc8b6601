"""What follows from the graphs: pairs, tiles, tables, analysis."""
