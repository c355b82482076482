"""The doctor: each check has a scenario that makes it fail, and only it."""
