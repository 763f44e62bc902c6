"""One module a file of the configuration: its keys as pydantic models, and what they become."""
