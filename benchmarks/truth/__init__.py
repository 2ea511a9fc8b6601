"""The truth suite: small zoos whose every transfer was measured, to decide settings by.

`images` are what it learns from, `tasks` and `networks` what it learns, `suite` lists the zoos,
`make` trains and measures them, `scans` and `rules` judge rankings by them.
"""
