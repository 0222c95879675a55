"""HTTP: requests and responses. Nothing here knows SQL."""
