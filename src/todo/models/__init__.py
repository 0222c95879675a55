"""What a task is, and what may be asked of tasks. Nothing here knows of HTTP or runs SQL."""
