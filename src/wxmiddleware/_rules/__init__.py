"""
What decides. Nothing here touches the clock, the network or threads (a contract of import-linter): times come in as
numbers, decisions go out as values, so that each can be tested as a table.
"""
