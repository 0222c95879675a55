"""HTTP: what a request may say, and what is answered. Nothing here knows SQL."""
