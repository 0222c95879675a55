"""The services that this one is compared with: the same table, the same answers, each written as its kind is written.

    floor            nothing but ASGI, psycopg and orjson: what the task costs in Python at the least
    fastapi_psycopg  FastAPI's routes and validation of what comes in, psycopg and orjson for the rest
    sqlmodel_async   the usual way: a session for each request, get, change, commit, refresh, a response model
    sqlmodel_sync    the template's way: the same with plain functions and synchronous sessions

They answer the seven operations that are measured, byte for byte as this service does but for ids and times, and have
none of its promises: no deadlines, no conditions, no keys, no strict input, one 404 for all that goes wrong. Each logs
a line of JSON for a request as its kind would do it. `serve.py` runs any of them as `todo serve` runs the application.
"""
